"""The metrics a job can ask for, and the named sets of them. Known without torch, so that a wrong name is refused early.

The metrics themselves are local ``evaluate`` modules under ``worker/trainer/metrics``.
"""

from typing import Final

from app.errors import InvalidRequest

METRICS: Final = ("accuracy", "f1", "precision", "recall", "matthews_correlation")
"""For text classification. With two classes f1, precision and recall are those of class 1, else means over the classes."""

METRIC_SETS: Final[dict[str, tuple[str, ...]]] = {
    "glue/cola": ("matthews_correlation",),
    "glue/mnli": ("accuracy",),
    "glue/mrpc": ("accuracy", "f1"),
    "glue/qnli": ("accuracy",),
    "glue/qqp": ("accuracy", "f1"),
    "glue/rte": ("accuracy",),
    "glue/sst2": ("accuracy",),
    "glue/wnli": ("accuracy",),
}
"""What the GLUE benchmark reports for each of its classification tasks (Wang et al., 2019, table 1)."""

LOSS: Final = "loss"
"""Always measured, and so always there to choose a checkpoint by."""

_SMALLER_IS_BETTER: Final = ("loss", "error", "mse", "mae", "rmse", "perplexity")


def metric_names(asked: list[str] | str) -> tuple[str, ...]:
    """Expand named sets; each name once, in order. Raises InvalidRequest for a name that is not known."""
    names: dict[str, None] = {}
    for name in [asked] if isinstance(asked, str) else asked:
        if name not in METRICS and name not in METRIC_SETS:
            raise InvalidRequest(
                f"there is no metric {name!r}",
                param="metrics",
                code="metric_unknown",
                hint=f"metrics: {', '.join(METRICS)}; sets: {', '.join(METRIC_SETS)}",
            )
        names.update(dict.fromkeys(METRIC_SETS.get(name, (name,))))
    return tuple(names)


def is_greater_better(metric: str) -> bool:
    """False for losses and errors, true for all else."""
    return not metric.endswith(_SMALLER_IS_BETTER)
