"""How good the finished model is: a table of its classes if it has any, and lines of what it is in all and against a guess."""

from typing import Any, Final

from app.cli.output import console

_GUESSED: Final = ("accuracy", "f1_micro", "mse", "mae", "squad_f1", "squad_exact_match")
"""What a baseline is scored by, whichever of them its kind has."""


def print_report(job: dict[str, Any]) -> None:
    """The classes of the validation split; nothing for a job without a report, or of a regression."""
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    report = job.get("report") or {}
    classes = report.get("per_class") or []
    if not classes:
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("CLASS")
    for name in ("PRECISION", "RECALL", "F1", "EXAMPLES"):
        table.add_column(name, justify="right")
    for entry in classes:
        scores = [f"{entry[name]:.3f}" for name in ("precision", "recall", "f1")]
        table.add_row(Text(str(entry["label"])), *scores, str(entry.get("support", "")))
    console().print(table)


def summary_lines(job: dict[str, Any]) -> list[str]:
    """One line for each split that was evaluated, and one for what a guess would score."""
    report = job.get("report") or {}
    lines = []
    for name, part in (("validation", report), ("test", report.get("test") or {})):
        metrics = part.get("metrics") or {}
        if metrics:
            lines.append(f"{name}: " + ", ".join(f"{metric} {value:.4f}" for metric, value in metrics.items()))
    for name, words in (
        ("majority_baseline", "always answering {label}, the most frequent"),
        ("mean_baseline", "always answering {value:.4f}, the mean"),
        ("no_answer_baseline", "never answering"),
        ("first_sentence_baseline", "always answering with the first sentence"),
    ):
        baseline = dict(report.get(name) or {})
        scores = ", ".join(f"{metric} {baseline[metric]:.4f}" for metric in _GUESSED if metric in baseline)
        if scores:
            lines.append(f"{words.format(**baseline)}: {scores}")
    return lines
