"""What a newcomer should hear of a ``data_report``: warnings that say what to do. The thresholds stand in docs/data-report.md."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from app.spec.base import ProblemType

FEW_ROWS: Final = 100
"""Training rows below which two runs with different seeds may well choose different models."""
FEW_EVALUATED: Final = 50
"""Rows of an evaluation below which one row is worth two per cent or more."""
FEW_EXAMPLES: Final = 10
"""Training examples of a class below which it is hardly learned."""
MAJORITY_SHARE: Final = 0.8
"""Share of one class from which accuracy says little."""
REPEATED_SHARE: Final = 0.01
"""Share of rows that repeat the texts of an earlier one, above which it is worth saying."""
_NAMED: Final = 5
_LABEL_CHARS: Final = 40

Warnings = list[dict[str, str]]


def advise(report: Mapping[str, Any], *, problem_type: ProblemType, weighs_classes: bool = False) -> Warnings:
    """What to say of the splits of a report. ``weighs_classes``: the job does something about unequal classes already.

    The same numbers give the same words, so that what is found twice is told once.
    """
    splits = report["splits"]
    train = splits["train"]
    found = [*_few_rows(train), *_rare_classes(train, problem_type=problem_type)]
    if not weighs_classes and problem_type == "single_label_classification":
        found += _imbalance(train)
    for split, facts in splits.items():
        found += _repeats(split, facts)
        found += _conflicts(split, facts)
        if split != "train":
            found += evaluation_advice(split, facts, problem_type=problem_type)
    return found


def evaluation_advice(split: str, facts: Mapping[str, Any], *, problem_type: ProblemType) -> Warnings:
    """What a split cannot tell of a model."""
    found: Warnings = []
    if facts["num_rows"] < FEW_EVALUATED:
        message = (
            f"The {split} split has only {facts['num_rows']:,} rows: its scores move by {1 / max(1, facts['num_rows']):.0%} with a single "
            "one. Take more rows to tell models apart."
        )
        found.append({"code": "small_split", "message": message})
    if (missing := facts.get("missing_labels")) and problem_type != "token_classification":
        message = (
            f"The {split} split has no example of {_listed(missing)}: nothing is measured of {'it' if len(missing) == 1 else 'them'}. "
            "Move some rows there."
        )
        found.append({"code": "label_not_evaluated", "message": message})
    return found


def overlap_advice(split: str, overlap: Mapping[str, Any], *, set_aside: bool) -> Warnings:
    """What to say of examples of ``split`` that stand in the training split too. ``set_aside``: it was made from that."""
    num_rows = overlap["num_rows"]
    if not num_rows:
        return []
    rows = [example["row"] for example in overlap["examples"]]
    what = (
        "Remove repeated texts from the data: the service sets rows aside as they come."
        if set_aside
        else f"Remove them from one of the two files{', or leave validation out and let the service set a part aside' if split == 'validation' else ''}."
    )
    message = (
        f"{_share(num_rows, overlap['share'])} of the {split} split {_stand(num_rows)} in train too, such as {_rows(rows, num_rows)}: "
        f"its scores will look better than the model is on new texts. {what}"
    )
    return [{"code": "split_overlap", "message": message}]


def _few_rows(train: Mapping[str, Any]) -> Warnings:
    if train["num_rows"] >= FEW_ROWS:
        return []
    message = (
        f"The train split has only {train['num_rows']:,} rows: the result depends much on the seed. Some hundred rows are a "
        "sensible beginning; until there are more, compare several seeds."
    )
    return [{"code": "small_dataset", "message": message}]


def _rare_classes(train: Mapping[str, Any], *, problem_type: ProblemType) -> Warnings:
    if problem_type not in {"single_label_classification", "multi_label_classification"}:
        return []
    counts = train.get("label_counts", {})
    rare = {name: count for name, count in counts.items() if 0 < count < FEW_EXAMPLES}
    if not rare or train["num_rows"] < FEW_ROWS:
        return []
    named = _listed([f"{name} ({count})" for name, count in sorted(rare.items(), key=lambda item: item[1])])
    message = (
        f"{_num(len(rare), 'class', 'classes')} with fewer than {FEW_EXAMPLES} training examples: {named}. They will hardly be "
        "learned: add examples, or merge them with others."
    )
    return [{"code": "few_examples_of_class", "message": message}]


def _imbalance(train: Mapping[str, Any]) -> Warnings:
    shares = train.get("label_shares") or {}
    if len(shares) < 2:
        return []
    name, share = max(shares.items(), key=lambda item: item[1])
    if share < MAJORITY_SHARE:
        return []
    message = (
        f"{share:.0%} of the training rows have the label {name}: a model that always says so has that accuracy. Look at f1_macro "
        'and the scores of each class, and set training.class_weights to "balanced" if the rare classes matter.'
    )
    return [{"code": "imbalanced_labels", "message": message}]


def _repeats(split: str, facts: Mapping[str, Any]) -> Warnings:
    num_rows, num_same = facts["num_rows"], facts["num_exact_duplicates"]
    compared = facts.get("num_rows_compared", num_rows)
    num_repeated = facts.get("num_repeated_inputs", num_same)
    if num_repeated <= REPEATED_SHARE * compared:
        return []
    message = (
        f"{_share(num_repeated, num_repeated / compared)} of the {split} split {'repeats' if num_repeated == 1 else 'repeat'} the texts "
        "of an earlier row: they count twice or more. Remove them, unless they are meant to weigh more."
    )
    return [{"code": "duplicate_rows", "message": message}]


def _conflicts(split: str, facts: Mapping[str, Any]) -> Warnings:
    if not facts.get("num_conflicting_inputs"):
        return []
    first = facts["conflicts"][0]
    labelled = [f"{row:,} ({_cut(label)})" for row, label in zip(first["rows"], first["labels"], strict=True)]
    num_rows = facts["num_conflicting_rows"]
    message = (
        f"{num_rows:,} rows of the {split} split have texts that stand there with another label too, such as rows {_listed(labelled)}: "
        "no model can be right about all of them. Decide for one label, or remove them."
    )
    return [{"code": "conflicting_labels", "message": message}]


def _share(count: int, share: float) -> str:
    return f"{_num(count, 'row', 'rows')} ({share:.1%})"


def _stand(count: int) -> str:
    return "stands" if count == 1 else "stand"


def _num(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def _rows(rows: Sequence[int], total: int) -> str:
    """``row 3``, ``rows 3, 4 and others``."""
    named = ", ".join(f"{row:,}" for row in rows[:_NAMED])
    return f"row{'s' if len(rows) > 1 else ''} {named}" + (" and others" if total > len(rows[:_NAMED]) else "")


def _cut(label: str) -> str:
    return label if len(label) <= _LABEL_CHARS else label[: _LABEL_CHARS - 1] + "…"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else "")
