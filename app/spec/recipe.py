"""The recipe: what ``"auto"`` becomes in a job's spec, where that can be known without torch.

The trainer calls ``fill`` once the data is read, and adds what only it can know (``bf16``, ``max_length``,
``per_device_eval_batch_size``). Each choice has its reason beside it; a value the user gave is never changed.
"""

import math
from collections.abc import Mapping
from typing import Any, Final

from app.errors import InvalidRequest
from app.spec.base import TASK_OF, ProblemType
from app.spec.job import JobSpec
from app.spec.metrics import LOSS, WRITTEN, canonical, check_fit, is_greater_better, metric_names
from app.spec.training import DOC_STRIDE, TrainingSpec

NUM_TRAIN_EPOCHS: Final = 3.0
"""What the BERT paper and the Hugging Face course train for."""

BATCH_SIZE: Final = 32
SMALL_BATCH_SIZE: Final = 16
SMALL_DATASET: Final = 2_000
"""Below this many examples the smaller batch is taken: three epochs of 1,000 examples are 94 updates of 32, too few for a
new head and an encoder to settle, and 189 of 16."""

NARROW_HIDDEN_SIZE: Final = 512
LEARNING_RATE_OF_NARROW_MODELS: Final = 2e-4
LEARNING_RATE_OF_NARROW_MODELS_ON_SMALL_DATA: Final = 1e-4
"""At 5e-5 MiniLM had not learned banking77's 77 classes after three epochs (67 % accuracy; at 2e-4 91 %), and with the smaller
batches of small data 2e-4 is too much (76 % where 1e-4 gives 79 %). ELECTRA's authors fine-tune "small" at 3e-4 (Clark et al.,
2020). Measurements: docs/recipes.md."""

LEARNING_RATE: Final = 5e-5
"""The course's, for BERT-base."""
LARGE_HIDDEN_SIZE: Final = 1024
LEARNING_RATE_OF_LARGE_MODELS: Final = 2e-5
"""Encoders of this width ("large") diverge on small data at 5e-5 (Mosbach et al., 2021); 2e-5 is their authors' rate."""

T5_FAMILY: Final = frozenset({"longt5", "mt5", "switch_transformers", "t5", "umt5"})
LEARNING_RATE_OF_T5: Final = 3e-4
"""Of any width: they were trained with Adafactor, which scales a step by the weights, and learn little at BERT's rates. Their
page in transformers' documentation names 1e-4 to 3e-4 for AdamW. Not measured here: docs/recipes.md."""
LEARNING_RATE_OF_T5_ADAPTERS: Final = 1e-3
"""What peft's own examples train them with."""

ADAPTER_RATE_FACTOR: Final = 10
"""Adapters begin at zero: at the whole model's rate three epochs leave them there (the examples: 51 % of support tickets,
where ten times the rate gives 92 %). Hu et al. (2021) take some 20 times the rate of full fine-tuning. docs/recipes.md."""

MOST_OF_AN_ADAPTER: Final = 1e-3
"""MiniLM on MRPC: 70 % accuracy at 2e-3, which is always the larger class or nearly, and 82 % at 1e-3. docs/recipes.md."""

WARMUP: Final = 0.1
"""A tenth of the steps: Adam's first estimates are poor, and warm-up is what keeps small data sets from failed runs."""

WEIGHT_DECAY: Final = 0.01
"""The BERT paper's."""

NUM_LOSS_POINTS: Final = 50
"""Points on a loss curve: enough to see its shape, few enough that logging costs nothing."""
MAX_LOGGING_STEPS: Final = 500


def fill(spec: JobSpec, *, num_examples: int, num_labels: int, model_config: Mapping[str, Any]) -> JobSpec:
    """The spec with every choice made that needs no torch.

    ``spec`` has its problem type, from the data; ``num_examples`` counts the training split; ``model_config`` is the
    base model's ``config.json``. Raises InvalidRequest for a metric that is not known or does not fit the problem, for
    a ``metric_for_best_model`` that is not measured, and for settings that mean nothing for such a problem.
    """
    problem_type = spec.problem_type
    if problem_type == "auto":
        raise ValueError("resolve the data first")
    defaults = default_metrics(problem_type, num_labels=num_labels)
    metrics = list(defaults) if spec.metrics == "auto" else spec.metrics
    check_fit(metric_names(metrics), problem_type=problem_type)
    _refuse_without_answers(spec, names=metric_names(metrics))
    training = spec.training
    _refuse_meaningless(spec, problem_type=problem_type)
    batch_size = training.per_device_train_batch_size
    if batch_size == "auto":
        batch_size = SMALL_BATCH_SIZE if num_examples < SMALL_DATASET else BATCH_SIZE
        batch_size = max(batch_size, spec.resources.all_processes)
    learning_rate = training.learning_rate
    if learning_rate == "auto":
        learning_rate = _learning_rate(spec, model_config=model_config, num_examples=num_examples)
        learning_rate *= training.learning_rate_multiplier
    chosen: dict[str, Any] = {
        "num_train_epochs": NUM_TRAIN_EPOCHS if training.num_train_epochs == "auto" else training.num_train_epochs,
        "per_device_train_batch_size": batch_size,
        "learning_rate": learning_rate,
        "warmup_steps": WARMUP if training.warmup_steps == "auto" else training.warmup_steps,
        "weight_decay": WEIGHT_DECAY if training.weight_decay == "auto" else training.weight_decay,
        **_choice_of_the_best(training, metrics=metrics, wanted=default_best(problem_type, num_labels=num_labels)),
    }
    if training.logging_steps == "auto":
        steps = num_steps(training.model_copy(update=chosen), num_examples=num_examples)
        chosen["logging_steps"] = min(max(1, steps // NUM_LOSS_POINTS), MAX_LOGGING_STEPS)
    filled = training.model_dump() | chosen
    prompt_format = spec.prompt_format if problem_type == "language_modeling" else None
    return JobSpec.model_validate(
        spec.model_dump()
        | {"task": TASK_OF[problem_type], "metrics": metrics, "training": filled, "prompt_format": prompt_format}
    )


def default_metrics(problem_type: ProblemType, *, num_labels: int) -> tuple[str, ...]:
    """Classes: accuracy, and F1, since alone accuracy flatters a model that always answers with the larger class.

    Several labels a row: F1 over all decisions and as a mean over the labels, which shows whether rare ones are found;
    accuracy asks for whole rows to be right. Regression: both correlations, and the errors in the labels' own unit.
    """
    if problem_type == "regression":
        return ("pearson", "spearmanr", "mse", "mae")
    if problem_type == "multi_label_classification":
        return ("f1_micro", "f1_macro", "accuracy")
    if problem_type == "token_classification":
        return ("f1", "precision", "recall", "accuracy")
    if problem_type in {"language_modeling", "sequence_to_sequence"}:
        return ("perplexity", "accuracy")
    if problem_type == "extractive_question_answering":
        return ("squad_f1", "squad_exact_match")
    return ("accuracy", "f1", "precision", "recall") if num_labels == 2 else ("accuracy", "f1")


def default_best(problem_type: ProblemType, *, num_labels: int) -> str:
    """F1 where there are two classes (it does not reward ignoring the rarer one), accuracy for more.

    Several labels a row: F1 over all decisions. Tags: F1 of entities, since most words belong to none and any model is
    accurate on them. Text: perplexity. Answers in a context: F1 of their words, which moves where exact match does not yet. Answers
    that are written: the loss, which is measured whatever else is, and is not as coarse as what is told of written texts.
    Regression: Pearson's correlation, the first that GLUE reports.
    """
    if problem_type == "regression":
        return "pearson"
    if problem_type == "multi_label_classification":
        return "f1_micro"
    if problem_type == "token_classification":
        return "f1"
    if problem_type == "language_modeling":
        return "perplexity"
    if problem_type == "extractive_question_answering":
        return "squad_f1"
    if problem_type == "sequence_to_sequence":
        return LOSS
    return "f1" if num_labels == 2 else "accuracy"


def num_steps(training: TrainingSpec, *, num_examples: int) -> int:
    """Optimizer steps of the whole run. Batch size and epochs must be numbers, not ``"auto"``."""
    if training.max_steps > 0:
        return training.max_steps
    batch_size, num_epochs = training.per_device_train_batch_size, training.num_train_epochs
    if batch_size == "auto" or num_epochs == "auto":
        raise ValueError("fill the spec first")
    return math.ceil(num_epochs * steps_per_epoch(training, num_examples=num_examples))


def steps_per_epoch(training: TrainingSpec, *, num_examples: int) -> int:
    """Every example is used in every epoch: a short last batch and a short last group make a step of their own."""
    batch_size = training.per_device_train_batch_size
    if batch_size == "auto":
        raise ValueError("fill the spec first")
    return math.ceil(math.ceil(num_examples / batch_size) / training.gradient_accumulation_steps)


def _learning_rate(spec: JobSpec, *, model_config: Mapping[str, Any], num_examples: int) -> float:
    if model_config.get("model_type") in T5_FAMILY:
        return LEARNING_RATE_OF_T5 if spec.adapter is None else LEARNING_RATE_OF_T5_ADAPTERS
    rate = learning_rate_for(hidden_size(model_config), num_examples=num_examples)
    return rate if spec.adapter is None else min(rate * ADAPTER_RATE_FACTOR, MOST_OF_AN_ADAPTER)


def learning_rate_for(width: int, *, num_examples: int) -> float:
    """Of AdamW, for a model so wide (0: it does not tell)."""
    if width >= LARGE_HIDDEN_SIZE:
        return LEARNING_RATE_OF_LARGE_MODELS
    if not 0 < width <= NARROW_HIDDEN_SIZE:
        return LEARNING_RATE
    if num_examples < SMALL_DATASET:
        return LEARNING_RATE_OF_NARROW_MODELS_ON_SMALL_DATA
    return LEARNING_RATE_OF_NARROW_MODELS


def hidden_size(model_config: Mapping[str, Any]) -> int:
    """The width of the model, under whichever of its names the config gives it; 0 if under none."""
    return next(
        (int(model_config[name]) for name in ("hidden_size", "d_model", "dim", "n_embd") if model_config.get(name)), 0
    )


def _refuse_meaningless(spec: JobSpec, *, problem_type: ProblemType) -> None:
    smooths = {"single_label_classification", "token_classification", "language_modeling", "sequence_to_sequence"}
    weighs = {"single_label_classification", "token_classification"}
    training = spec.training
    for name, means_something in (
        ("label_smoothing_factor", problem_type in smooths),
        ("class_weights", problem_type in weighs),
    ):
        if getattr(training, name) and not means_something:
            raise _does_not_fit(f"{name} is for one class a row or word, and", problem_type, param=f"training.{name}")
    if training.doc_stride != DOC_STRIDE and problem_type != "extractive_question_answering":
        raise _does_not_fit("doc_stride is for question answering, and", problem_type, param="training.doc_stride")
    if problem_type != "sequence_to_sequence":
        if training.max_target_length is not None:
            what = "max_target_length is for answers that an encoder-decoder writes, and"
            raise _does_not_fit(what, problem_type, param="training.max_target_length")
    elif spec.prompt_format not in {None, "auto", "plain"}:
        what = "an encoder-decoder reads its source as it is: prompt_format"
        raise _does_not_fit(what, problem_type, param="prompt_format")


def _does_not_fit(what: str, problem_type: ProblemType, *, param: str) -> InvalidRequest:
    return InvalidRequest(
        f"{what} means nothing for {problem_type}", param=param, code="setting_does_not_fit", hint="Leave it out."
    )


def _refuse_without_answers(spec: JobSpec, *, names: tuple[str, ...]) -> None:
    """Texts and chats have no column of answers that a written one could be compared with."""
    unfit = [name for name in names if name in WRITTEN]
    if unfit and spec.problem_type == "language_modeling" and spec.columns.label is None:
        raise InvalidRequest(
            f"{', '.join(unfit)}: the data has no column of answers to compare a written text with",
            param="metrics",
            code="metric_does_not_fit",
            hint="They are for prompts with answers. For this data: perplexity, accuracy",
        )


def _choice_of_the_best(training: TrainingSpec, *, metrics: list[str] | str, wanted: str) -> dict[str, Any]:
    """``wanted`` if it is measured, as the loss always is, else the first metric that is."""
    measured = metric_names(metrics)
    best = canonical(training.metric_for_best_model)
    if best == "auto":
        best = wanted if wanted in (*measured, LOSS) else measured[0]
    if best != LOSS and best not in measured:
        raise InvalidRequest(
            f"metric_for_best_model is {best!r}, which is not among the job's metrics ({', '.join(measured)})",
            param="training.metric_for_best_model",
            code="metric_not_measured",
        )
    greater = training.greater_is_better
    return {
        "metric_for_best_model": best,
        "greater_is_better": is_greater_better(best) if greater == "auto" else greater,
    }
