"""The hyperparameters: names and meanings of ``transformers.TrainingArguments`` (5.23), and a few of our own.

Ours are ``max_length``, ``max_target_length``, ``doc_stride``, ``freeze_layers``, ``layerwise_lr_decay``, ``class_weights``,
``learning_rate_multiplier``, ``early_stopping_patience`` and ``early_stopping_threshold``.
"""

from typing import Annotated, Any, Final, Literal

from pydantic import Field, StrictBool, field_validator, model_validator

from app.spec.base import MAX_STEPS, Auto, Contract

Interval = Literal["no", "steps", "epoch"]
Tracker = Literal["tensorboard", "wandb", "mlflow", "trackio"]
SchedulerName = Literal[
    "linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup", "inverse_sqrt"
]

DOC_STRIDE: Final = 128
"""What the examples of transformers have for SQuAD."""

PositiveInt = Annotated[int, Field(ge=1, strict=True)]
StepCount = Annotated[int, Field(ge=1, le=MAX_STEPS, strict=True)]
ClassWeight = Annotated[float, Field(gt=0, le=1e6, strict=True)]
BatchSize = Annotated[int, Field(ge=1, le=65_536, strict=True)]


class TrainingSpec(Contract):
    """How to train. ``"auto"`` is replaced by the recipe (``app.spec.recipe``)."""

    num_train_epochs: Annotated[float, Field(gt=0, le=10_000, strict=True)] | Auto = "auto"
    """Passes over the training split; may be fractional."""
    max_steps: Annotated[int, Field(ge=-1, le=MAX_STEPS, strict=True)] = -1
    """If positive, the number of optimizer steps; overrides ``num_train_epochs``."""
    per_device_train_batch_size: BatchSize | Auto = "auto"
    """Examples in a micro-batch of one device."""
    per_device_eval_batch_size: BatchSize | Auto = "auto"
    gradient_accumulation_steps: Annotated[int, Field(ge=1, le=65_536, strict=True)] = 1
    """Micro-batches whose gradients make one optimizer step; a short last group of an epoch counts by its own size."""

    train_sampling_strategy: Literal["random", "group_by_length"] = "random"
    """How batches are drawn; ``"group_by_length"``: from examples of like length, which is faster and less random."""

    learning_rate: Annotated[float, Field(gt=0, le=1e6, strict=True)] | Auto = "auto"
    """Peak learning rate of AdamW."""
    learning_rate_multiplier: Annotated[float, Field(gt=0, le=1000, strict=True)] = 1.0
    """Of the rate that ``"auto"`` becomes; not for a rate that is given."""
    lr_scheduler_type: SchedulerName = "linear"
    lr_scheduler_kwargs: dict[str, float | int] = Field(default_factory=dict, max_length=8)
    warmup_steps: Annotated[float, Field(ge=0, le=MAX_STEPS, strict=True)] | Auto = "auto"
    """Optimizer steps of linear warm-up; below 1 it is a fraction of all steps."""
    weight_decay: Annotated[float, Field(ge=0, le=10, strict=True)] | Auto = "auto"
    """Decoupled decay of all weights but biases and norms."""
    adam_beta1: Annotated[float, Field(ge=0, lt=1, strict=True)] = 0.9
    adam_beta2: Annotated[float, Field(ge=0, lt=1, strict=True)] = 0.999
    adam_epsilon: Annotated[float, Field(gt=0, le=1, strict=True)] = 1e-8
    max_grad_norm: Annotated[float, Field(ge=0, le=1e6, strict=True)] = 1.0
    """Norm to which the gradient of a step is clipped; 0 clips nothing."""
    label_smoothing_factor: Annotated[float, Field(ge=0, lt=1, strict=True)] = 0.0
    class_weights: Literal["balanced"] | dict[Annotated[str, Field(max_length=256)], ClassWeight] | None = None
    """Weight of each class in the loss, by label; ``"balanced"``: so that all classes weigh the same."""
    freeze_layers: Annotated[int, Field(ge=0, le=1000, strict=True)] = 0
    """So many of the lowest layers, and the embeddings, are left as they are; 0 freezes nothing."""
    layerwise_lr_decay: Annotated[float, Field(gt=0, le=1, strict=True)] = 1.0
    """Each layer learns at this fraction of the rate of the layer above it."""
    gradient_checkpointing: StrictBool = False

    seed: Annotated[int, Field(ge=0, le=2**31 - 1, strict=True)] = 42
    full_determinism: StrictBool = True
    """On GPUs, only kernels that give the same bytes again; ``false``: the fastest ones. On a CPU all are deterministic."""
    bf16: StrictBool | Auto = "auto"
    """Mixed precision in bfloat16; auto: where the hardware has matrix units for it."""

    max_length: Annotated[int, Field(ge=2, le=1_000_000, strict=True)] | Auto = "auto"
    """Tokens after which an input is cut; auto: what the data needs, up to what the model can.
    For question answering the size of the windows that long contexts are read in; auto: what the model can."""
    max_target_length: Annotated[int, Field(ge=2, le=1_000_000, strict=True)] | None = None
    """Tokens after which an answer is cut, where an encoder-decoder learns to write it; unset: what the data needs, up to what
    the model can."""
    doc_stride: Annotated[int, Field(ge=0, le=1_000_000, strict=True)] = DOC_STRIDE
    """For question answering: tokens of the context that two windows next to each other share, half a window's at most."""

    report_to: Annotated[list[Tracker], Field(max_length=4)] = Field(default_factory=list)
    """Experiment trackers that are told of the job, where the worker has them installed and configured."""
    logging_strategy: Interval = "steps"
    logging_steps: Annotated[float, Field(gt=0, le=MAX_STEPS, strict=True)] | Auto = "auto"
    """Steps between points of the training loss; below 1 a fraction of all steps."""
    eval_strategy: Interval = "epoch"
    eval_steps: Annotated[float, Field(gt=0, le=MAX_STEPS, strict=True)] | None = None
    """Steps between evaluations when ``eval_strategy`` is ``"steps"``; unset: ``logging_steps``."""
    save_strategy: Interval = "epoch"
    save_steps: Annotated[float, Field(gt=0, le=MAX_STEPS, strict=True)] = 500
    save_total_limit: Annotated[int, Field(ge=1, le=1000, strict=True)] = 2
    """Resumable checkpoints kept, beside the best."""

    metric_for_best_model: Annotated[str, Field(min_length=1, max_length=64)] | Auto = "auto"
    """Metric that chooses the checkpoint, with or without ``eval/`` or ``eval_`` before it."""
    greater_is_better: StrictBool | Auto = "auto"
    """auto: false for losses and errors, true for all else."""
    early_stopping_patience: PositiveInt | None = None
    """Stop after so many evaluations without improvement; unset: never."""
    early_stopping_threshold: Annotated[float, Field(ge=0, strict=True)] = 0.0

    @model_validator(mode="before")
    @classmethod
    def _old_name(cls, value: Any) -> Any:
        """``warmup_ratio`` is the old name of a ``warmup_steps`` below 1."""
        if isinstance(value, dict) and "warmup_ratio" in value:
            value = dict(value)
            ratio = value.pop("warmup_ratio")
            if "warmup_steps" in value:
                raise ValueError("give warmup_steps or its old name warmup_ratio, not both")
            value["warmup_steps"] = ratio
            if not isinstance(ratio, int | float) or isinstance(ratio, bool) or not 0 <= ratio < 1:
                raise ValueError("warmup_ratio must be a number from 0 to below 1")
        return value

    @field_validator("report_to", mode="before")
    @classmethod
    def _names_of_trackers(cls, value: Any) -> Any:
        """TrainingArguments take one name, and "none", as well."""
        return ([] if value == "none" else [value]) if isinstance(value, str) else value

    @field_validator("metric_for_best_model")
    @classmethod
    def _bare_metric(cls, value: str) -> str:
        return value.removeprefix("eval_").removeprefix("eval/")

    @model_validator(mode="after")
    def _consistent(self) -> "TrainingSpec":
        if self.max_steps == 0:
            raise ValueError("max_steps must be -1 (use num_train_epochs) or at least 1")
        if self.early_stopping_patience is not None and self.eval_strategy == "no":
            raise ValueError('early_stopping_patience needs eval_strategy "epoch" or "steps"')
        return self
