"""From the folder of a published model to what the engine runs: verified, read, put on its device."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
import torch
from safetensors import safe_open
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
from worker.predictor.attached import PREFIX, Attachment, attach, read_config
from worker.predictor.bases import Bases
from worker.predictor.errors import ModelLoadError

AUTO_MODELS: Final[dict[TaskName, Any]] = {
    "text-classification": AutoModelForSequenceClassification,
    "token-classification": AutoModelForTokenClassification,
    "text-generation": AutoModelForCausalLM,
    "question-answering": AutoModelForQuestionAnswering,
    "text2text-generation": AutoModelForSeq2SeqLM,
}
"""The transformers class of a task's models."""
GENERATING: Final[frozenset[TaskName]] = frozenset({"text-generation", "text2text-generation"})
DTYPES: Final = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, kw_only=True)
class LoadedParts:
    spec: ServingSpec
    tokenizer: Any
    model: PreTrainedModel
    """On the device, for inference."""
    device: torch.device
    attachment: Attachment | None


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
    chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
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
    if spec.precision != "float32":
        _keep_head_in_float32(model, folder, num_labels=len(spec.labels))
    return LoadedParts(
        spec=spec, tokenizer=tokenizer, model=model.to(chosen).eval(), device=chosen, attachment=attachment
    )


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
            dtype=DTYPES[spec.precision],
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
    config, dtype = read_config(folder), DTYPES[spec.precision]
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


def _keep_head_in_float32(model: PreTrainedModel, folder: Path, *, num_labels: int) -> None:
    """Give the layer that makes the logits its stored float32 weights back, and have it compute in them."""
    heads = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module.out_features == num_labels
    ]
    if not heads:
        return
    name, head = heads[-1]
    stored = _stored_tensors(folder, {f"{name}.{parameter}" for parameter, _ in head.named_parameters()})
    head.float()
    with torch.no_grad():
        for parameter_name, parameter in head.named_parameters():
            if (tensor := stored.get(f"{name}.{parameter_name}")) is not None:
                parameter.copy_(tensor)
    head.register_forward_pre_hook(lambda _, args: tuple(tensor.float() for tensor in args))


def _stored_tensors(folder: Path, names: set[str]) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for stored in file.keys():  # noqa: SIM118 - no mapping
                if (name := stored.removeprefix(PREFIX)) in names:
                    found[name] = file.get_tensor(stored)
    return found
