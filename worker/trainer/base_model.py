"""Base model and tokenizer, from the Hub or a folder, and in the user's words what is wrong with them."""

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import nn
from transformers import AutoConfig, AutoTokenizer, PreTrainedModel
from transformers.utils import logging as transformers_logging
from transformers.utils.hub import cached_file

from app.errors import InvalidModel, InvalidRequest
from app.model.inspection import CONFIG_FILE, TOKENIZER_CONFIG_FILE, inspect_config, parse_config
from app.spec.positions import reserved_positions
from app.spec.run import RunSpec
from app.spec.serving import SERVING_FILE
from worker.predictor.encoder_decoder import decoder_inputs, most_written
from worker.trainer.hub_errors import hub_answers, told_to_the_user
from worker.trainer.randomness import Stream, seed_torch
from worker.trainer.reporting import Reporter
from worker.trainer.tasks import Task

DEFAULT_MAX_LENGTH: Final = 512
"""Limit of ``max_length: "auto"``: what encoders are trained on; longer inputs cost much and are asked for by name."""

_NAMED: Final = 8
"""Weights or labels in one message."""


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
        if run.model_path is None:
            _inspect(source, revision=revision, local_only=local_only)
        config = AutoConfig.from_pretrained(source, **options)
        tokenizer = AutoTokenizer.from_pretrained(source, use_fast=True, **options)
    for settings in (vars(config), tokenizer.init_kwargs):
        settings.pop("auto_map", None)  # its own code is not run, and a finished model that names it is not served
    if not tokenizer.is_fast:
        raise InvalidModel(
            f"{run.spec.model} has no fast tokenizer",
            param="model",
            code="model_unsupported",
            hint="Some encoder-decoders (MarianMT, M2M100) come with slow ones alone; T5, BART, mBART and Pegasus have fast ones.",
        )
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


def _inspect(name: str | Path, *, revision: str | None, local_only: bool) -> None:
    """By the rules of submission, when the Hub may not have answered. Raises InvalidModel before a library reads the configuration."""

    def found(file: str, *, is_needed: bool = False) -> Path | None:
        path = cached_file(
            name,
            file,
            revision=revision,
            local_files_only=local_only,
            _raise_exceptions_for_missing_entries=is_needed,
        )
        return None if path is None else Path(path)

    config, tokenizer = found(CONFIG_FILE, is_needed=True), found(TOKENIZER_CONFIG_FILE)
    assert config is not None
    inspect_config(
        parse_config(config.read_bytes(), name=CONFIG_FILE),
        source="hub",
        tokenizer_config=parse_config(tokenizer.read_bytes(), name=TOKENIZER_CONFIG_FILE) if tokenizer else None,
    )
    if not found("model.safetensors.index.json") and not found("model.safetensors"):
        # The library would look for a conversion that somebody has proposed, and load that.
        raise InvalidModel(
            f"the weights of {name} are not in safetensors",
            param="model",
            code="model_not_safetensors",
            hint="Other formats can run code when they are loaded.",
        )


def load_model(
    base: BaseModel, task: Task, *, first_logits: np.ndarray | None, seed: int, report: Reporter
) -> tuple[PreTrainedModel, set[str]]:
    """The model with a head for ``task``, in float32, and the names of the weights that start at random.

    Weights the base model lacks are drawn from ``seed``.

    A last layer that the base model brings is kept if it was trained for the same outputs, else it begins anew. The bias
    of a new one is ``first_logits``, if there are any.
    """
    config = copy.deepcopy(base.config)
    task.configure(config)
    config.pad_token_id = base.tokenizer.pad_token_id
    seed_torch(seed, stream=Stream.HEAD)
    with told_to_the_user(base.name, kind="model"):
        model, loading = task.auto_model.from_pretrained(
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
    missing = {str(key) for key in loading["missing_keys"]}
    new = missing | {str(key[0]) for key in loading["mismatched_keys"]}
    _refuse_foreign_weights(base, model, new)
    if not task.has_head:
        if new:
            raise InvalidModel(
                f"{base.name} is no model that generates text: it lacks {_some(sorted(new))}",
                param="model",
                code="model_unsupported",
            )
        if model.config.is_encoder_decoder:
            _refuse_unless_answers_begin(base, model)
        else:
            _refuse_unless_causal(base, model)
        return model, new
    name, last = _last_layer(model, num_outputs=task.num_outputs)
    own = {f"{name}.{parameter}" for parameter, _ in last.named_parameters()}
    is_new = own <= new
    is_redrawn = not own <= missing and not (task.has_fixed_outputs or _means_the_same(base.config, config))
    if is_redrawn:
        seed_torch(seed, stream=Stream.HEAD)
        _begin_anew(model, last)
        is_new = True
        report.warn(
            "new_head",
            f"{base.name} was trained for other labels ({_some(base.config.id2label.values())}) than this job's "
            f"({_some(task.label_names)}): its last layer starts at random, all else as it was.",
        )
    if absent := sorted(new - own if is_redrawn else new):
        report.warn(
            "new_weights",
            f"{len(absent)} weights are not in {base.name} and start at random: {_some(absent)}. "
            "This is expected: the classification head is what training is for.",
        )
    if is_new and first_logits is not None and last.bias is not None:
        with torch.no_grad():
            last.bias.copy_(torch.from_numpy(first_logits))
    loaded: PreTrainedModel = model
    return loaded, new | (own if is_new else set())


def _means_the_same(old: Any, new: Any) -> bool:
    """Whether the outputs of a head for ``old`` are those that ``new`` asks for, in the same order.

    Classes without names (LABEL_0, LABEL_1, …) are those of the same numbers. One output is a number whatever its name.
    """
    if old.problem_type not in {None, new.problem_type} or old.num_labels != new.num_labels:
        return False
    if new.problem_type == "regression":
        return True
    names = [old.id2label.get(number) for number in range(old.num_labels)]
    unnamed = [f"LABEL_{number}" for number in range(old.num_labels)]
    if names == unnamed:
        names = [str(number) for number in range(old.num_labels)]
    return names == [new.id2label[number] for number in range(new.num_labels)]


def _last_layer(model: PreTrainedModel, *, num_outputs: int) -> tuple[str, nn.Linear]:
    """The layer that makes the logits, with its name. Raises InvalidModel if there is none."""
    layers = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module.out_features == num_outputs
    ]
    if not layers:
        raise InvalidModel(f"{model.config.model_type} models have no last layer to train", code="model_unsupported")
    return layers[-1]


def _begin_anew(model: PreTrainedModel, layer: nn.Linear) -> None:
    """Draw its weights as if the files of the model had not held them."""
    for parameter in layer.parameters():
        parameter._is_hf_initialized = False  # type: ignore[attr-defined] # noqa: SLF001 - loading set it
    model._init_weights(layer)  # type: ignore[no-untyped-call] # noqa: SLF001 - what loading calls, and models override


def _some(names: Iterable[Any]) -> str:
    texts = [str(name) for name in names]
    return ", ".join(texts[:_NAMED]) + (", …" if len(texts) > _NAMED else "")


def enable_gradient_checkpointing(model: PreTrainedModel) -> None:
    """Release 5.23 of transformers calls it by another name than the releases before, and warns of the old one."""
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable()


def written_limit(base: BaseModel) -> int:
    """The most tokens that an encoder-decoder may be taught to write."""
    return min(_told_length(base), most_written(base.config))


def most_read(base: BaseModel) -> int:
    """The most tokens that the model can be given; 2**31 where nothing says."""
    return min(_told_length(base), _num_positions(base.config))


def length_limit(base: BaseModel, asked: int | str) -> int:
    """The most tokens an input may have. Raises InvalidRequest if ``asked`` is more than the model can."""
    limit = most_read(base)
    if asked == "auto":
        return min(limit, DEFAULT_MAX_LENGTH)
    if int(asked) > limit:
        raise InvalidRequest(
            f"max_length is {asked}, but {base.name} reads at most {limit} tokens", param="training.max_length"
        )
    return int(asked)


def _told_length(base: BaseModel) -> int:
    """What the tokenizer says that the model reads; of a finished model that is what its job chose, and binds no other."""
    if isinstance(base.source, Path) and (base.source / SERVING_FILE).exists():
        return 2**31
    return int(base.tokenizer.model_max_length)


def _num_positions(config: Any) -> int:
    positions = getattr(config, "max_position_embeddings", None)
    if not isinstance(positions, int) or positions <= 0:
        return 2**31
    return positions - reserved_positions(config.model_type, pad_token_id=config.pad_token_id)


def _refuse_foreign_weights(base: BaseModel, model: PreTrainedModel, new: set[str]) -> None:
    """Raise if the encoder itself would start at random: the files hold another model than the configuration says."""
    encoder = {name for name, _ in model.named_parameters() if name.startswith(f"{model.base_model_prefix}.")}
    if len(encoder.intersection(new)) * 2 > len(encoder):
        raise InvalidModel(
            f"the weights of {base.name} do not fit its configuration", param="model", code="model_unsupported"
        )


@torch.no_grad()
def _refuse_unless_causal(base: BaseModel, model: PreTrainedModel) -> None:
    """Raise if what stands behind a token changes what is said of it: such a model cannot generate."""
    model.eval()  # type: ignore[no-untyped-call]
    logits = model(input_ids=torch.tensor([[5, 6, 7], [5, 6, 8]]), use_cache=False).logits[:, 0]
    if not torch.allclose(logits[0], logits[1], atol=1e-4):
        raise InvalidModel(
            f"{base.name} reads in both directions: it cannot generate text", param="model", code="model_unsupported"
        )


def _refuse_unless_answers_begin(base: BaseModel, model: PreTrainedModel) -> None:
    """Raise if the model does not say what its decoder is given before the first token of an answer."""
    try:
        decoder_inputs(model, torch.tensor([[5, 6, 7]]))
    except (ValueError, TypeError) as error:
        raise InvalidModel(
            f"{base.name} does not say which token its answers begin behind (decoder_start_token_id)",
            param="model",
            code="model_unsupported",
        ) from error


def card_of(base: BaseModel) -> Path | None:
    """Its README, which may be fetched for it; None if there is none, or it cannot be had."""
    if isinstance(base.source, Path):
        path = base.source / "README.md"
        return path if path.is_file() else None
    try:
        found = cached_file(
            base.source,
            "README.md",
            revision=base.revision,
            local_files_only=base.local_only,
            _raise_exceptions_for_missing_entries=False,
        )
    except OSError:
        return None
    return None if found is None else Path(found)
