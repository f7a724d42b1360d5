"""Base model and tokenizer, from the Hub or a folder, and in the user's words what is wrong with them."""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel
from transformers.utils import logging as transformers_logging

from app.errors import InvalidModel, InvalidRequest
from app.spec.positions import reserved_positions
from app.spec.run import RunSpec
from worker.trainer.hub_errors import hub_answers, told_to_the_user
from worker.trainer.randomness import Stream, seed_torch
from worker.trainer.reporting import Reporter

DEFAULT_MAX_LENGTH: Final = 512
"""Limit of ``max_length: "auto"``: what encoders are trained on; longer inputs cost much and are asked for by name."""

_NEW_WEIGHTS_NAMED: Final = 8


@dataclass(frozen=True, kw_only=True)
class BaseModel:
    """Where the weights come from; the weights themselves are read once the number of labels is known."""

    source: str | Path
    revision: str | None
    name: str
    """What the spec calls it."""
    local_only: bool
    """It is a folder, or the Hub does not answer: nothing is asked for over the network."""
    config: Any
    tokenizer: Any

    @property
    def config_dict(self) -> dict[str, Any]:
        values: dict[str, Any] = self.config.to_dict()
        return values


def find(run: RunSpec) -> BaseModel:
    """Fetch configuration and tokenizer. Raises InvalidModel or Unavailable."""
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    source: str | Path = run.spec.model if run.model_path is None else Path(run.model_path)
    revision = run.spec.model_revision if run.model_path is None else None
    local_only = run.model_path is not None or not hub_answers(run.spec.model, revision=revision)
    options: dict[str, Any] = {"trust_remote_code": False, "revision": revision, "local_files_only": local_only}
    with told_to_the_user(run.spec.model, kind="model"):
        config = AutoConfig.from_pretrained(source, **options)
        tokenizer = AutoTokenizer.from_pretrained(source, use_fast=True, **options)
    for settings in (vars(config), tokenizer.init_kwargs):
        settings.pop("auto_map", None)  # its own code is not run, and a finished model that names it is not served
    if not tokenizer.is_fast:
        raise InvalidModel(f"{run.spec.model} has no fast tokenizer", param="model", code="model_unsupported")
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise InvalidModel(
                f"the tokenizer of {run.spec.model} has neither a padding nor an end token",
                param="model",
                code="model_unsupported",
            )
        tokenizer.pad_token = tokenizer.eos_token
    return BaseModel(
        source=source,
        revision=revision,
        name=run.spec.model,
        local_only=local_only,
        config=config,
        tokenizer=tokenizer,
    )


def load_classifier(base: BaseModel, labels: list[str], *, seed: int, report: Reporter) -> PreTrainedModel:
    """The model with a head for ``labels``, in float32; weights the base model lacks are drawn from ``seed``."""
    config = copy.deepcopy(base.config)
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: number for number, label in enumerate(labels)}
    config.problem_type = "single_label_classification"
    config.pad_token_id = base.tokenizer.pad_token_id
    seed_torch(seed, stream=Stream.HEAD)
    with told_to_the_user(base.name, kind="model"):
        model, loading = AutoModelForSequenceClassification.from_pretrained(
            base.source,
            config=config,
            revision=base.revision,
            local_files_only=base.local_only,
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    new = sorted({str(key) for key in loading["missing_keys"]} | {str(key[0]) for key in loading["mismatched_keys"]})
    _refuse_foreign_weights(base, model, new)
    if new:
        named = ", ".join(new[:_NEW_WEIGHTS_NAMED]) + (", …" if len(new) > _NEW_WEIGHTS_NAMED else "")
        report.warn(
            "new_weights",
            f"{len(new)} weights are not in {base.name} and start at random: {named}. "
            "This is expected: the classification head is what training is for.",
        )
    classifier: PreTrainedModel = model
    return classifier


def enable_gradient_checkpointing(model: PreTrainedModel) -> None:
    """Release 5.23 of transformers calls it by another name than the releases before, and warns of the old one."""
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable()


def length_limit(base: BaseModel, asked: int | str) -> int:
    """The most tokens an input may have. Raises InvalidRequest if ``asked`` is more than the model can."""
    limit = min(int(base.tokenizer.model_max_length), _num_positions(base.config))
    if asked == "auto":
        return min(limit, DEFAULT_MAX_LENGTH)
    if int(asked) > limit:
        raise InvalidRequest(
            f"max_length is {asked}, but {base.name} reads at most {limit} tokens", param="training.max_length"
        )
    return int(asked)


def _num_positions(config: Any) -> int:
    positions = getattr(config, "max_position_embeddings", None)
    if not isinstance(positions, int) or positions <= 0:
        return 2**31
    return positions - reserved_positions(config.model_type, pad_token_id=config.pad_token_id)


def _refuse_foreign_weights(base: BaseModel, model: PreTrainedModel, new: list[str]) -> None:
    """Raise if the encoder itself would start at random: the files hold another model than the configuration says."""
    encoder = {name for name, _ in model.named_parameters() if name.startswith(f"{model.base_model_prefix}.")}
    if len(encoder.intersection(new)) * 2 > len(encoder):
        raise InvalidModel(
            f"the weights of {base.name} do not fit its configuration", param="model", code="model_unsupported"
        )
