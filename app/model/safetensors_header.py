"""A look at the header of a safetensors file: enough to know that it is one and is whole, without reading the weights.

Format: 8 bytes little-endian length, a JSON object of that length, then the tensors' bytes without gap or overlap.
https://github.com/huggingface/safetensors#format
"""

import math
from pathlib import Path
from typing import Any, Final

import orjson

from app.errors import InvalidModel

MAX_HEADER_BYTES: Final = 100_000_000
"""The limit of the safetensors library itself."""
_BITS: Final = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "C64": 64, "F64": 64, "I64": 64, "U64": 64,
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip


def tensor_names(path: Path) -> frozenset[str]:
    """Names of the tensors in the file. Raises InvalidModel unless the header is sound and the file exactly as long."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(MAX_HEADER_BYTES, size - 8):
            raise _broken(path, "its header does not fit into the file")
        try:
            header = orjson.loads(file.read(length))
        except ValueError as error:
            raise _broken(path, "its header is not JSON") from error
    if not isinstance(header, dict):
        raise _broken(path, "its header is not a JSON object")
    header.pop("__metadata__", None)
    if not header:
        raise _broken(path, "it holds no tensors")
    end = 0
    for start, stop in sorted(_extent(path, name, entry) for name, entry in header.items()):
        if start != end:
            raise _broken(path, f"its tensors overlap or leave a gap at byte {end}")
        end = stop
    if 8 + length + end != size:
        raise _broken(path, f"it should have {8 + length + end} bytes and has {size}")
    return frozenset(header)


def _extent(path: Path, name: str, entry: Any) -> tuple[int, int]:
    try:
        bits, shape, (start, stop) = _BITS[entry["dtype"]], entry["shape"], entry["data_offsets"]
        sound = all(isinstance(n, int) and n >= 0 for n in (*shape, start, stop))
        sound = sound and (stop - start) * 8 == math.prod(shape) * bits
    except (KeyError, TypeError, ValueError):
        sound = False
    if not sound:
        raise _broken(path, f"the entry of tensor {name[:80]!r} is not sound")
    return start, stop


def _broken(path: Path, reason: str) -> InvalidModel:
    return InvalidModel(
        f"{path.name} is not a whole safetensors file: {reason}.",
        param=f"files.{path.name}",
        code="model_weights_broken",
    )
