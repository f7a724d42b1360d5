"""The dashboard's files as a browser gets them: their bytes, plain and compressed, each with an entity tag.

Tags are hashes of what is sent. A browser that asks again with the one it has is told that nothing changed, and gets the new
file after an upgrade, whatever the clock says.
"""

import gzip
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from app.errors import NotFound

FOLDER: Final = Path(__file__).parent
_FOLDERS: Final = ("js", "styles", "images")
"""What may be asked for; the code of this package may not."""
_MEDIA_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
_WORTH_COMPRESSING_BYTES: Final = 1024
_GZIP_LEVEL: Final = 6
"""Of Plotly's 4.8 MB it leaves 1.4 MB in a quarter of a second, once in the life of a process; level 9 saves 1 % more."""


@dataclass(frozen=True, kw_only=True)
class Asset:
    """A file as it is sent: ``compressed`` is None where that would save little."""

    media_type: str
    plain: bytes
    compressed: bytes | None
    plain_tag: str
    compressed_tag: str


def page() -> Asset:
    """The one page; all else is loaded by it."""
    return _asset(FOLDER / "index.html")


def asset(name: str) -> Asset:
    """A script, style sheet or image of ours by its path below this folder. Raises NotFound."""
    path = FOLDER / name
    inside = "\0" not in name and path.resolve().is_relative_to(FOLDER) and name.partition("/")[0] in _FOLDERS
    if not inside or path.suffix not in _MEDIA_TYPES or not path.is_file():
        raise NotFound(f"There is no file {name!r} of the dashboard.", hint="Load the page again.")
    return _asset(path)


def plotly() -> Asset:
    """Plotly's own bundle, out of the installed package, whose code is not imported."""
    spec = find_spec("plotly")
    assert spec is not None
    assert spec.origin is not None
    return _asset(Path(spec.origin).parent / "package_data" / "plotly.min.js")


def _asset(path: Path) -> Asset:
    state = path.stat()
    return _read(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=256)
def _read(path: Path, modified_ns: int, size_bytes: int) -> Asset:  # noqa: ARG001 # a file that changes is read again
    plain = path.read_bytes()
    compressed = gzip.compress(plain, _GZIP_LEVEL, mtime=0) if len(plain) > _WORTH_COMPRESSING_BYTES else None
    digest = hashlib.sha256(plain).hexdigest()[:32]
    return Asset(
        media_type=_MEDIA_TYPES[path.suffix],
        plain=plain,
        compressed=compressed,
        plain_tag=f'"{digest}"',
        compressed_tag=f'"{digest}-gzip"',
    )
