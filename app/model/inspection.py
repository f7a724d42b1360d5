"""What a model folder or a Hub repository is, from its ``config.json`` and file names alone, without torch.

A model is refused here rather than in a worker. The config is hostile input: transformers has let a model's own config
override ``trust_remote_code=False`` (CVE-2026-5241, CVE-2026-4372) and name attention kernels to download, so whatever
could make it fetch or run code, or read another file, is refused wherever in the config it stands.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final, Literal

import orjson

from app.errors import InvalidModel
from app.model.architectures import ENCODER_DECODERS, NOT_TEXT_ALONE, NOT_TEXT_TO_TEXT, TEXT_CLASSIFIERS, TEXT_TO_TEXT
from app.spec.positions import reserved_positions

Source = Literal["upload", "hub"]

CONFIG_FILE: Final = "config.json"
TOKENIZER_CONFIG_FILE: Final = "tokenizer_config.json"
MAX_CONFIG_BYTES: Final = 8 * 2**20
"""The longest real ones (tens of thousands of added tokens in tokenizer_config.json) have a few megabytes."""
MAX_DEPTH: Final = 16

VOCABULARY_FILES: Final = frozenset(
    {
        "tokenizer.json",
        "vocab.txt",
        "vocab.json",
        "spiece.model",
        "sentencepiece.bpe.model",
        "tokenizer.model",
        "spm.model",
    }
)
"""Any of them makes a tokenizer."""
PICKLE_SUFFIXES: Final = (
    ".bin",
    ".pt",
    ".pth",
    ".pkl",
    ".pickle",
    ".ckpt",
    ".joblib",
    ".npy",
    ".npz",
    ".msgpack",
    ".h5",
)

_CODE_KEYS: Final = frozenset({"auto_map", "trust_remote_code", "custom_pipelines", "custom_generate", "custom_code"})
_LOADING_KEYS: Final = frozenset(
    {"transformers_weights", "kernel_config", "use_kernels", "backbone", "use_timm_backbone", "base_model_name_or_path"}
)
"""They name other files or repositories to load from."""
_QUANTIZATION_KEYS: Final = frozenset({"quantization_config", "compression_config"})
_IMPLEMENTATION_KEYS: Final = frozenset(
    {
        "attn_implementation",
        "_attn_implementation",
        "_attn_implementation_internal",
        "_attn_implementation_autoset",
        "experts_implementation",
        "_experts_implementation",
        "_experts_implementation_internal",
    }
)
_IMPLEMENTATIONS: Final = frozenset({"eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention"})
_DTYPES: Final = frozenset({"float32", "float16", "bfloat16", "float64", "auto"})

_HIDDEN_SIZES: Final = ("hidden_size", "d_model", "dim", "n_embd", "emb_dim")
_LAYERS: Final = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_LENGTHS: Final = ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length")
_LARGEST: Final[dict[str, int]] = {
    **dict.fromkeys(_HIDDEN_SIZES, 65_536),
    **dict.fromkeys(_LAYERS, 1_024),
    **dict.fromkeys(_LENGTHS, 2**31),
    "vocab_size": 2**24,
    "intermediate_size": 2**20,
    "num_attention_heads": 4_096,
    "embedding_size": 65_536,
}
"""A config can ask for more memory than any machine has; no real model comes near these."""
_UNBOUNDED_LENGTH: Final = 10**9
"""Tokenizers without a limit say 10³⁰."""


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """What is known of a model before any weight is read."""

    model_type: str
    is_encoder_decoder: bool
    """It writes an answer to what it reads, and does nothing else here."""
    is_decoder: bool
    """Its configuration has it look back only, though others of its type look both ways."""
    architectures: tuple[str, ...]
    hidden_size: int | None
    num_layers: int | None
    vocab_size: int | None
    max_length: int | None
    """Tokens it can take, special ones included; ``None``: no limit is stated."""
    labels: tuple[str, ...] | None
    """Names of the classes it has been trained on; ``None`` for one without a head or with mere numbers."""


def parse_config(content: bytes, *, name: str) -> dict[str, Any]:
    """The JSON object in a config file. Raises InvalidModel if it is none, or too long or deep to be one."""
    if len(content) > MAX_CONFIG_BYTES:
        raise _invalid(f"{name} is longer than {MAX_CONFIG_BYTES} bytes.", file=name)
    try:
        parsed = orjson.loads(content)
    except ValueError as error:
        raise _invalid(f"{name} is not valid JSON: {error}.", file=name) from error
    if not isinstance(parsed, dict):
        raise _invalid(f"{name} is not a JSON object.", file=name)
    return parsed


def inspect_config(
    config: dict[str, Any], *, source: Source, tokenizer_config: dict[str, Any] | None = None
) -> ModelInfo:
    """What the model is. Raises InvalidModel with the code of the first thing that rules it out."""
    _refuse_unsafe(config, file=CONFIG_FILE)
    if tokenizer_config is not None:
        _refuse_unsafe(tokenizer_config, file=TOKENIZER_CONFIG_FILE)
        if source == "upload":
            _refuse_foreign_files(tokenizer_config)
    model_type = _supported_type(config)
    for key, largest in _LARGEST.items():
        _number(config, key, largest=largest)
    architectures = config.get("architectures") or []
    if not isinstance(architectures, list) or not all(isinstance(a, str) for a in architectures):
        raise _invalid("architectures in config.json is not a list of names.")
    return ModelInfo(
        model_type=model_type,
        is_encoder_decoder=model_type in TEXT_TO_TEXT,
        is_decoder=config.get("is_decoder") is True,
        architectures=tuple(architectures),
        hidden_size=_first(config, _HIDDEN_SIZES),
        num_layers=_first(config, _LAYERS),
        vocab_size=_first(config, ("vocab_size",)),
        max_length=_max_length(config, tokenizer_config or {}, model_type=model_type),
        labels=labels_of(config),
    )


def inspect_file_names(names: Iterable[str]) -> None:
    """Raise InvalidModel unless there are a config, safetensors weights and a tokenizer among the top-level ``names``."""
    present = {name for name in names if "/" not in name}
    if CONFIG_FILE not in present:
        raise InvalidModel("There is no config.json: this is not a transformers model.", code="model_unsupported")
    if not any(name.endswith(".safetensors") for name in present):
        pickled = sorted(name for name in present if name.endswith(PICKLE_SUFFIXES))
        raise InvalidModel(
            f"The weights are not in safetensors but in {pickled[0]}."
            if pickled
            else "There are no *.safetensors weights.",
            code="model_not_safetensors",
            hint="Other formats can run code when they are loaded. Save the model with save_pretrained of a current "
            "transformers, which writes model.safetensors.",
        )
    if not present & VOCABULARY_FILES:
        raise InvalidModel(
            "There is no tokenizer: none of " + ", ".join(sorted(VOCABULARY_FILES)) + ".", code="model_has_no_tokenizer"
        )


def labels_of(config: dict[str, Any]) -> tuple[str, ...] | None:
    """Class names by id, if ``id2label`` gives real ones (not ``LABEL_0``, ``LABEL_1``, …) for 0 to K-1."""
    names = config.get("id2label")
    if not isinstance(names, dict) or not names:
        return None
    try:
        by_id = {int(key): value for key, value in names.items()}
    except ValueError:
        return None
    if sorted(by_id) != list(range(len(by_id))) or not all(isinstance(name, str) for name in by_id.values()):
        return None
    if all(name == f"LABEL_{number}" for number, name in by_id.items()):
        return None
    return tuple(by_id[number] for number in range(len(by_id)))


def _supported_type(config: dict[str, Any]) -> str:
    model_type = config.get("model_type")
    if not isinstance(model_type, str):
        raise _invalid("config.json names no model_type.")
    shown = model_type[:64]
    is_encoder_decoder = config.get("is_encoder_decoder")
    if model_type in TEXT_TO_TEXT:
        if is_encoder_decoder is not False:
            return model_type
        reason = f"This {shown!r} model is one half of an encoder-decoder"
    elif is_encoder_decoder or model_type in ENCODER_DECODERS | NOT_TEXT_TO_TEXT:
        reason = f"{shown!r} models are encoder-decoders that do not go from text to text alone"
    elif model_type in NOT_TEXT_ALONE:
        reason = f"{shown!r} models take more than text"
    elif model_type not in TEXT_CLASSIFIERS:
        reason = f"Transformers has no sequence-classification head for {shown!r} models"
    else:
        return model_type
    raise InvalidModel(
        f"{reason}, and cannot be fine-tuned here.",
        param="model",
        code="model_unsupported",
        hint="Take an encoder such as BERT, RoBERTa, DeBERTa or ModernBERT, a decoder such as Qwen3 or Llama, or an "
        "encoder-decoder such as T5 or BART.",
    )


def _refuse_unsafe(config: dict[str, Any], *, file: str) -> None:
    for key, value in _walk(config, file=file):
        if key in _CODE_KEYS and value not in (None, False, {}, []):
            raise InvalidModel(
                f"{file} asks for code of its own ({key}), which is never run.",
                param="model",
                code="model_has_remote_code",
            )
        if key in _QUANTIZATION_KEYS and value is not None:
            raise InvalidModel(
                f"The model is quantised ({key} in {file}) and cannot be fine-tuned; take the full-precision one.",
                param="model",
                code="model_unsupported",
            )
        if key in _LOADING_KEYS and value not in (None, False):
            raise _unsafe(f"{key} in {file} would load something else than the model's own files.")
        if key in _IMPLEMENTATION_KEYS and not _is_known_implementation(value):
            raise _unsafe(f"{key} in {file} names code to be downloaded.")
        if key in {"dtype", "torch_dtype"} and not (value is None or _is_dtype(value)):
            raise _invalid(f"{key} in {file} is not a floating-point type.", file=file)


def _is_known_implementation(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_is_known_implementation(part) for part in value.values())
    return value is None or isinstance(value, bool) or (isinstance(value, str) and value in _IMPLEMENTATIONS)


def _is_dtype(value: Any) -> bool:
    return isinstance(value, str) and value.removeprefix("torch.") in _DTYPES


def _refuse_foreign_files(tokenizer_config: dict[str, Any]) -> None:
    """Refuse ``{"vocab_file": "/etc/passwd"}``, which older transformers open as it stands.

    Hub models may say it: their authors' own cache paths are in many, and what they name is not there.
    """
    for key, value in tokenizer_config.items():
        if key.endswith(("_file", "_files")) and isinstance(value, str) and PurePosixPath(value).name != value:
            raise _unsafe(f"{key} in {TOKENIZER_CONFIG_FILE} names a file outside the model; remove it.")


def _walk(value: Any, *, file: str, depth: int = 0) -> Iterator[tuple[str, Any]]:
    if depth > MAX_DEPTH:
        raise _invalid(f"{file} is nested more than {MAX_DEPTH} deep.", file=file)
    if isinstance(value, dict):
        for key, part in value.items():
            yield key, part
            yield from _walk(part, file=file, depth=depth + 1)
    elif isinstance(value, list):
        for part in value:
            yield from _walk(part, file=file, depth=depth + 1)


def _number(config: dict[str, Any], key: str, *, largest: int) -> int | None:
    value = config.get(key)
    if value is None or (key in _LENGTHS and value == -1):  # -1: relative positions, no limit
        return None
    if isinstance(value, list) and key == "intermediate_size":  # one per layer
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= largest:
        raise _invalid(f"{key} in config.json is not a whole number from 0 to {largest}.")
    return value or None


def _first(config: dict[str, Any], keys: tuple[str, ...]) -> int | None:
    return next((number for key in keys if (number := _number(config, key, largest=_LARGEST[key])) is not None), None)


def _max_length(config: dict[str, Any], tokenizer_config: dict[str, Any], *, model_type: str) -> int | None:
    limits = []
    positions = _first(config, _LENGTHS)
    if positions is not None:
        limits.append(max(positions - reserved_positions(model_type, pad_token_id=config.get("pad_token_id")), 1))
    stated = tokenizer_config.get("model_max_length")
    if isinstance(stated, int | float) and 1 <= stated < _UNBOUNDED_LENGTH:
        limits.append(int(stated))
    return min(limits, default=None)


def _invalid(message: str, *, file: str = CONFIG_FILE) -> InvalidModel:
    return InvalidModel(message, param=f"files.{file}", code="model_config_invalid")


def _unsafe(message: str) -> InvalidModel:
    return InvalidModel(message, param="model", code="model_config_unsafe")
