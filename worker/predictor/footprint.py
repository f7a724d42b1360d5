"""How much memory models take together: a base that several adapters are served on counts once."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import orjson

from app.spec.serving import SERVING_FILE, base_folder


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """What one model takes, in bytes."""

    own_bytes: int
    base: str | None = None
    """The hash of the base's weights, of a model that is attached to one."""
    base_bytes: int = 0


def total_bytes(footprints: Iterable[Footprint]) -> int:
    """What models with these footprints take together."""
    own, bases = 0, {}
    for footprint in footprints:
        own += footprint.own_bytes
        if footprint.base is not None:
            bases[footprint.base] = footprint.base_bytes
    return own + sum(bases.values())


def stored_footprint(folder: Path) -> Footprint:
    """What the weights of the model in ``folder`` take on disk: an upper bound of what they will take in memory."""
    own_bytes = _stored_bytes(folder)
    try:
        base = orjson.loads((folder / SERVING_FILE).read_bytes())["base"]["weights_sha256"]
        base_bytes = _stored_bytes(base_folder(folder, base))
    except (OSError, ValueError, KeyError, TypeError):  # it has no base, or cannot be loaded at all
        return Footprint(own_bytes=own_bytes)
    return Footprint(own_bytes=own_bytes, base=base, base_bytes=base_bytes)


def _stored_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))
