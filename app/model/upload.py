"""An uploaded model: the parts of a form become files in a folder, and the folder a checked model. No SQL, no HTTP."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import orjson
from pydantic import ValidationError

from app.errors import InvalidModel, InvalidRequest
from app.manifest import MANIFEST
from app.model.inspection import (
    CONFIG_FILE,
    MAX_CONFIG_BYTES,
    PICKLE_SUFFIXES,
    TOKENIZER_CONFIG_FILE,
    inspect_config,
    inspect_file_names,
    parse_config,
)
from app.model.safetensors_header import tensor_names
from app.spec.serving import SERVING_FILE, ServingSpec

CARD_FILE: Final = "README.md"
MAX_NAME_BYTES: Final = 1024
MAX_CARD_BYTES: Final = 2**20
MAX_TOKENIZER_BYTES: Final = 256 * 2**20
_WEIGHTS: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,120}\.safetensors")
_INDEX: Final = "model.safetensors.index.json"
_KEPT: Final = frozenset(
    {
        CONFIG_FILE, TOKENIZER_CONFIG_FILE, SERVING_FILE, CARD_FILE, _INDEX, "generation_config.json",
        "tokenizer.json", "special_tokens_map.json", "added_tokens.json", "vocab.txt", "vocab.json", "merges.txt",
        "spiece.model", "sentencepiece.bpe.model", "tokenizer.model", "spm.model", "chat_template.jinja",
    }
)  # fmt: skip
_THROWN_AWAY: Final = frozenset(
    {
        MANIFEST, ".gitattributes", "LICENSE", "LICENSE.txt", "modules.json", "sentence_bert_config.json",
        "config_sentence_transformers.json", "all_results.json", "eval_results.json",
        "train_results.json", "trainer_state.json",
    }
)  # fmt: skip
"""Found in many model folders, of no use here."""


class IncomingPart(Protocol):
    """A part of a multipart form; ``blocks`` come from the network and can be read once."""

    @property
    def name(self) -> str: ...
    @property
    def filename(self) -> str | None: ...
    @property
    def blocks(self) -> Iterator[bytes]: ...


@dataclass(frozen=True, kw_only=True)
class Received:
    """What a form says besides the files."""

    name: str
    shared: bool


def receive(parts: Iterable[IncomingPart], *, folder: Path) -> Received:
    """Store the parts called ``files`` in ``folder`` as they arrive, and return what the others say.

    Raises InvalidRequest for a form that is not as asked for, and InvalidModel at the first file that cannot be part of
    a model, before its content is read.
    """
    name, shared = None, None
    for part in parts:
        if part.name == "files":
            _store(part, folder)
        elif part.name == "name" and name is None:
            name = _text(part)
        elif part.name == "shared" and shared is None:
            shared = _flag(part)
        else:
            message = f"The form has a part {part.name[:64]!r} too many; there is one name, and any number of files."
            raise InvalidRequest(message, param=part.name[:64], code="unknown_parameter")
    if name is None:
        raise InvalidRequest("The form has no part called name.", param="name", code="missing_parameter")
    return Received(name=name, shared=bool(shared))


def _flag(part: IncomingPart) -> bool:
    text = _text(part)
    if text not in {"true", "false"}:
        raise InvalidRequest("shared must be true or false.", param=part.name, code="invalid_value")
    return text == "true"


def _store(part: IncomingPart, folder: Path) -> None:
    name = part.filename or ""
    if not _is_kept(name):
        return
    try:
        file = (folder / name).open("xb")
    except FileExistsError as error:
        raise InvalidModel(
            f"The file {name} was sent twice.", param=f"files.{name}", code="model_file_twice"
        ) from error
    with file:
        for block in part.blocks:
            file.write(block)


def _text(part: IncomingPart) -> str:
    content = b""
    for block in part.blocks:
        content += block
        if len(content) > MAX_NAME_BYTES:
            break
    return content[:MAX_NAME_BYTES].decode(errors="replace")


def inspect_folder(folder: Path) -> tuple[dict[str, Any], ServingSpec | None]:
    """The config of the model in ``folder``, and its ``tunery.json`` if there is one. Raises InvalidModel."""
    names = [path.name for path in folder.iterdir()]
    inspect_file_names(names)
    config = parse_config(_read(folder / CONFIG_FILE), name=CONFIG_FILE)
    tokenizer = folder / TOKENIZER_CONFIG_FILE
    inspect_config(
        config,
        source="upload",
        tokenizer_config=parse_config(_read(tokenizer), name=tokenizer.name) if tokenizer.exists() else None,
    )
    for name in (
        "tokenizer.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab.json",
        "generation_config.json",
    ):
        if (folder / name).exists():
            _check_json(folder / name)
    _check_weights(folder, names)
    card = folder / CARD_FILE
    if card.exists() and card.stat().st_size > MAX_CARD_BYTES:
        raise InvalidModel("README.md is longer than 1 MiB.", param=f"files.{CARD_FILE}", code="model_file_invalid")
    return config, _serving_spec(folder)


def _is_kept(name: str) -> bool:
    """Whether the file belongs to a model. Raises InvalidModel for one that may not be uploaded at all."""
    shown = name[:100]
    if name in _KEPT or (_WEIGHTS.fullmatch(name) and ".." not in name):
        return True
    if name in _THROWN_AWAY:
        return False
    if name.endswith(".py"):
        message = f"{shown!r} is code, and a model's own code is never run."
        raise InvalidModel(message, param="files", code="model_has_remote_code")
    if name.endswith(PICKLE_SUFFIXES):
        message = f"{shown!r} may hold pickles, which run code when they are loaded."
        hint = "Send the weights as *.safetensors."
        raise InvalidModel(message, param="files", code="model_not_safetensors", hint=hint)
    raise InvalidModel(
        f"{shown!r} is not a file of a transformers model.",
        param="files",
        code="model_file_not_allowed",
        hint="Send config.json, *.safetensors and the files of the tokenizer, by their names alone.",
    )


def _check_weights(folder: Path, names: list[str]) -> None:
    weights = sorted(name for name in names if name.endswith(".safetensors"))
    index = folder / _INDEX
    if not index.exists():
        if "model.safetensors" not in weights:
            message = f"There is neither model.safetensors nor {_INDEX}."
            raise InvalidModel(message, param="files", code="model_not_safetensors")
        tensor_names(folder / "model.safetensors")
        _refuse_unused(weights, used={"model.safetensors"})
        return
    mapping = parse_config(_read(index), name=_INDEX).get("weight_map")
    if not isinstance(mapping, dict) or not mapping or not all(isinstance(v, str) for v in mapping.values()):
        raise InvalidModel(f"{_INDEX} has no weight_map.", param=f"files.{_INDEX}", code="model_weights_broken")
    used = set(mapping.values())
    missing = sorted(used - set(weights))
    if missing:
        message = f"{_INDEX} names {missing[0][:100]!r}, which was not sent."
        raise InvalidModel(message, param="files", code="model_weights_broken")
    present = {name: tensor_names(folder / name) for name in used}
    for tensor, name in mapping.items():
        if tensor not in present[name]:
            message = f"{name} lacks the tensor {tensor[:80]!r} that {_INDEX} says it has."
            raise InvalidModel(message, param=f"files.{name}", code="model_weights_broken")
    _refuse_unused(weights, used=used)


def _refuse_unused(weights: list[str], *, used: set[str]) -> None:
    unused = [name for name in weights if name not in used]
    if unused:
        message = f"{unused[0]} is no part of the model's weights."
        raise InvalidModel(message, param="files", code="model_file_not_allowed")


def _check_json(path: Path) -> None:
    if path.stat().st_size > MAX_TOKENIZER_BYTES:
        message = f"{path.name} is longer than {MAX_TOKENIZER_BYTES} bytes."
        raise InvalidModel(message, param=f"files.{path.name}", code="model_file_invalid")
    try:
        orjson.loads(path.read_bytes())
    except ValueError as error:
        message = f"{path.name} is not valid JSON."
        raise InvalidModel(message, param=f"files.{path.name}", code="model_file_invalid") from error


def _serving_spec(folder: Path) -> ServingSpec | None:
    path = folder / SERVING_FILE
    if not path.exists():
        return None
    try:
        return ServingSpec.model_validate_json(_read(path))
    except ValidationError as error:
        message = f"{SERVING_FILE} is not valid: {error.errors()[0]['msg']}."
        raise InvalidModel(message, param=f"files.{SERVING_FILE}", code="model_file_invalid") from error


def _read(path: Path) -> bytes:
    """At most one byte more than a config may have, so that a huge one is refused and not read."""
    with path.open("rb") as file:
        return file.read(MAX_CONFIG_BYTES + 1)
