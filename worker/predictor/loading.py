"""From the folder of a published model to what the engine runs: verified, read, put on its device."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
import structlog
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForQuestionAnswering,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    PreTrainedModel,
)
from transformers.utils import logging as transformers_logging

from app.manifest import verify
from app.spec.base import TaskName
from app.spec.serving import SERVING_FILE, Precision, ServingSpec, base_folder
from worker.predictor.attached import Attachment, attach, read_config
from worker.predictor.bases import Bases
from worker.predictor.errors import ModelLoadError
from worker.predictor.packed.forward import PackedForward

log = structlog.get_logger(__name__)

AUTO_MODELS: Final[dict[TaskName, Any]] = {
    "text-classification": AutoModelForSequenceClassification,
    "token-classification": AutoModelForTokenClassification,
    "text-generation": AutoModelForCausalLM,
    "question-answering": AutoModelForQuestionAnswering,
    "text2text-generation": AutoModelForSeq2SeqLM,
}
"""The transformers class of a task's models."""
GENERATING: Final[frozenset[TaskName]] = frozenset({"text-generation", "text2text-generation"})


@dataclass(frozen=True, kw_only=True)
class LoadedParts:
    spec: ServingSpec
    tokenizer: Any
    model: PreTrainedModel
    """On the device, for inference."""
    device: torch.device
    attachment: Attachment | None
    packed: PackedForward | None
    """What computes with ``model``, which then only it can do."""


def default_device() -> str:
    """Where models are loaded if nobody says otherwise."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def load_parts(
    folder: Path,
    *,
    expected_manifest_sha256: str | None,
    device: str | None,
    bases: Bases,
    base: Path | None,
    precision: Precision | None = None,
) -> LoadedParts:
    """Verify every byte of ``folder`` and load it, as ``LoadedModel.load`` says. ``precision``: another than it is served in."""
    manifest = verify(folder, expected_sha256=expected_manifest_sha256)
    spec = _read_spec(folder)
    if precision is not None:
        spec = spec.model_copy(update={"precision": precision})
    _refuse_remote_code(folder)
    chosen = torch.device(device or default_device())
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        if spec.base is None:
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        else:
            tokenizer = bases.tokenizer(folder, manifest=manifest)
    except Exception as error:  # a library's loading code: any class may come out of it
        raise ModelLoadError(f"{type(error).__name__}: {error}") from error
    attachment = None
    if spec.base is not None:
        where = base or base_folder(folder, spec.base.weights_sha256)
        attachment = _attach(folder, spec, base=where, bases=bases, device=chosen)
    model: Any = attachment.model if attachment else _load_whole(folder, spec)
    if spec.task not in GENERATING and model.config.num_labels != len(spec.labels):
        raise ModelLoadError(f"{model.config.num_labels} outputs for {len(spec.labels)} labels")
    _ensure_padding(tokenizer, model)
    model = model.to(chosen).eval()
    packed = None
    if spec.precision == "bfloat16" and chosen.type == "cpu":
        packed = PackedForward.of(model, pad_id=tokenizer.pad_token_id, max_length=spec.max_length)
        if packed is None:
            log.warning("model cannot be packed here and is served in float32", model=folder.name)
    return LoadedParts(spec=spec, tokenizer=tokenizer, model=model, device=chosen, attachment=attachment, packed=packed)


def _read_spec(folder: Path) -> ServingSpec:
    try:
        return ServingSpec.model_validate_json((folder / SERVING_FILE).read_bytes())
    except FileNotFoundError as error:
        raise ModelLoadError(f"{SERVING_FILE} is missing: the model was not made by a job") from error
    except ValueError as error:
        raise ModelLoadError(f"{SERVING_FILE} cannot be understood: {error}") from error


def _load_whole(folder: Path, spec: ServingSpec) -> PreTrainedModel:
    try:
        model, loading = AUTO_MODELS[spec.task].from_pretrained(
            folder,
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
        )
    except Exception as error:  # a library's loading code: any class may come out of it
        raise ModelLoadError(f"{type(error).__name__}: {error}") from error
    if loading["missing_keys"]:
        raise ModelLoadError(f"weights are missing: {', '.join(sorted(loading['missing_keys'])[:5])}")
    loaded: PreTrainedModel = model
    return loaded


def _attach(folder: Path, spec: ServingSpec, *, base: Path, bases: Bases, device: torch.device) -> Attachment:
    assert spec.base is not None
    config, dtype = read_config(folder), torch.float32
    loaded = bases.load(base, weights_sha256=spec.base.weights_sha256, config=config, dtype=dtype, device=device)
    return attach(folder, base=loaded, config=config, auto_model=AUTO_MODELS[spec.task], dtype=dtype)


def _refuse_remote_code(folder: Path) -> None:
    """Raise if a configuration names code of its own, whatever the loading library would do with it."""
    for path in folder.glob("*.json"):
        with suppress(orjson.JSONDecodeError):
            content = orjson.loads(path.read_bytes())
            if isinstance(content, dict) and "auto_map" in content:
                raise ModelLoadError(f"{path.name} asks for code of its own (auto_map)")


def _ensure_padding(tokenizer: Any, model: PreTrainedModel) -> None:
    """Give a decoder without a padding token its end token for one, and tell the model, which looks for the last word."""
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token_id is None:
            raise ModelLoadError("the tokenizer has neither a padding nor an end token")
        tokenizer.pad_token = tokenizer.eos_token
    if model.config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id
