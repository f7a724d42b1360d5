import json
from pathlib import Path

import pytest

from app.errors import InvalidModel
from app.model.safetensors_header import tensor_names
from tests.hub.builders import safetensors


def file(header: object, body: bytes) -> bytes:
    encoded = json.dumps(header).encode()
    return len(encoded).to_bytes(8, "little") + encoded + body


def entry(start: int, stop: int, *, shape: object = (1,), dtype: str = "F32") -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


def test_the_header_of_a_real_writer_is_read(tmp_path: Path):
    import torch
    from safetensors.torch import save_file

    path = tmp_path / "model.safetensors"
    tensors = {
        "a": torch.zeros(3, 2),
        "b": torch.ones(5, dtype=torch.bfloat16),
        "c": torch.tensor(7),
        "d": torch.zeros(0),
    }
    save_file(tensors, path, metadata={"format": "pt"})
    assert tensor_names(path) == {"a", "b", "c", "d"}


WHOLE = safetensors({"a": [2, 3], "b": [4]})


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"1234567",
        WHOLE[:-1],
        WHOLE + b"\0",
        (2**62).to_bytes(8, "little") + b"{}",
        b"\x80\x04" + WHOLE,
        file([], b""),
        file({}, b""),
        file({"a": entry(0, 4)}, b""),
        file({"a": entry(0, 4), "b": entry(2, 6)}, bytes(6)),
        file({"a": entry(0, 4), "b": entry(8, 12)}, bytes(12)),
        file({"a": entry(-4, 0)}, b""),
        file({"a": entry(0, 4, shape=(2,))}, bytes(4)),
        file({"a": entry(0, 4, shape=(-1, -1))}, bytes(4)),
        file({"a": entry(0, 4, shape="1")}, bytes(4)),
        file({"a": entry(0, 4, dtype="pickle")}, bytes(4)),
        file({"a": 7}, bytes(4)),
    ],
)
def test_a_broken_file_is_refused(content: bytes, tmp_path: Path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(InvalidModel) as caught:
        tensor_names(path)
    assert caught.value.code == "model_weights_broken"
