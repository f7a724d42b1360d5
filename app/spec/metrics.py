"""The metrics a job can ask for, and the named sets of them. Known without torch, so that a wrong name is refused early.

The metrics themselves are local ``evaluate`` modules under ``worker/trainer/metrics``; the names are those that library's
users know.
"""

from typing import Final

from app.errors import InvalidRequest
from app.spec.base import ProblemType

AVERAGES: Final = ("macro", "micro", "weighted")
"""What may stand behind f1, precision and recall, as in ``f1_macro``: scikit-learn's words for ways to average classes."""

_AVERAGED: Final = tuple(
    name for metric in ("f1", "precision", "recall") for name in (metric, *(f"{metric}_{how}" for how in AVERAGES))
)
WRITTEN: Final = ("rouge1", "rouge2", "rougeL", "rougeLsum", "exact_match")
"""They compare what the model writes, a token at a time, with the answer that it should have written."""

METRICS: Final[dict[ProblemType, tuple[str, ...]]] = {
    "single_label_classification": ("accuracy", *_AVERAGED, "matthews_correlation", "roc_auc"),
    "multi_label_classification": ("accuracy", *_AVERAGED, "roc_auc"),
    "regression": ("pearson", "spearmanr", "mse", "rmse", "mae"),
    "token_classification": ("f1", "precision", "recall", "f1_macro", "accuracy"),
    "language_modeling": ("perplexity", "accuracy", *WRITTEN),
    "sequence_to_sequence": ("perplexity", "accuracy", *WRITTEN),
    "extractive_question_answering": ("squad_f1", "squad_exact_match"),
}
"""What each kind of problem can be measured by.

With two classes plain f1, precision and recall are those of class 1; else they are means over the classes or labels, as
with ``_macro``. With several labels a row, accuracy is the share of rows whose labels are all right. With tags, F1, precision
and recall are those of whole entities, of all kinds together (``f1_macro``: the mean over the kinds), and accuracy that of words. Of text, accuracy is that of the next token.
Of answers to questions, both are in per cent, as the SQuAD evaluation gives them.
"""

CONTINUOUS: Final = frozenset({"roc_auc", "perplexity", *METRICS["regression"]})
"""Move a little with every change of a score; the others only when a decision changes."""

ALIASES: Final = {"pearsonr": "pearson", "spearman": "spearmanr"}
"""Other names that people use."""

METRIC_SETS: Final[dict[str, tuple[str, ...]]] = {
    "glue/cola": ("matthews_correlation",),
    "glue/mnli": ("accuracy",),
    "glue/mnli_matched": ("accuracy",),
    "glue/mnli_mismatched": ("accuracy",),
    "glue/mrpc": ("accuracy", "f1"),
    "glue/qnli": ("accuracy",),
    "glue/qqp": ("accuracy", "f1"),
    "glue/rte": ("accuracy",),
    "glue/sst2": ("accuracy",),
    "glue/stsb": ("pearson", "spearmanr"),
    "glue/wnli": ("accuracy",),
    "rouge": ("rouge1", "rouge2", "rougeL", "rougeLsum"),
}
"""What the GLUE benchmark reports for each of its tasks (Wang et al., 2019, table 1), and the four of ``evaluate``'s ROUGE."""

LOSS: Final = "loss"
"""Always measured, and so always there to choose a checkpoint by."""

KNOWN: Final = tuple(dict.fromkeys(name for names in METRICS.values() for name in names))
_SMALLER_IS_BETTER: Final = ("loss", "error", "mse", "mae", "rmse", "perplexity")


def metric_names(asked: list[str] | str) -> tuple[str, ...]:
    """Expand named sets and other names; each name once, in order. Raises InvalidRequest for a name that is not known."""
    names: dict[str, None] = {}
    for name in [asked] if isinstance(asked, str) else asked:
        expanded = METRIC_SETS.get(name, (canonical(name),))
        if not set(expanded) <= set(KNOWN):
            raise InvalidRequest(
                f"there is no metric {name!r}",
                param="metrics",
                code="metric_unknown",
                hint=f"metrics: {', '.join(KNOWN)}; sets: {', '.join(METRIC_SETS)}",
            )
        names.update(dict.fromkeys(expanded))
    return tuple(names)


def canonical(name: str) -> str:
    """The name that a metric is reported by."""
    return ALIASES.get(name, name)


def check_fit(names: tuple[str, ...], *, problem_type: ProblemType) -> None:
    """Raise InvalidRequest if any of these known metrics says nothing about such a problem."""
    unfit = [name for name in names if name not in METRICS[problem_type]]
    if unfit:
        raise InvalidRequest(
            f"{', '.join(unfit)}: not a metric for {problem_type}",
            param="metrics",
            code="metric_does_not_fit",
            hint=f"for this data: {', '.join(METRICS[problem_type])}",
        )


def is_greater_better(metric: str) -> bool:
    """False for losses and errors, true for all else."""
    return not metric.endswith(_SMALLER_IS_BETTER)
