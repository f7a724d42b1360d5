"""Which classes there are, and what each is called."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from app.dataset.problem import LABEL, label_column
from app.dataset.profile import ColumnProfile, DatasetProfile, ValueCount
from app.dataset.resolved import LabelValue, Split, refuse_split_row
from app.errors import InvalidData
from app.spec.base import ProblemType

MAX_CLASSES: Final = 5000
_FEW_CLASSES: Final = 20
"""Up to so many are believed even when there are hardly more rows."""
HIDDEN: Final = -1
"""What test splits of public benchmarks hold instead of labels."""

LARGE_NUMBER: Final = 10
"""Distance from the mean. AdamW moves a weight by about the learning rate a step: at 5e-5, a last layer over a few hundred
values gets so far in some hundred steps."""

_NAMES: Final = "label_names"
SCORE: Final = "score"
"""What the output of a regression is called unless ``label_names`` says otherwise."""


@dataclass(frozen=True, kw_only=True)
class Classes:
    values: list[LabelValue]
    names: list[str]
    warnings: list[dict[str, str]]


def is_hidden(profile: DatasetProfile, *, label: str) -> bool:
    """Whether every label is -1: kept secret by those who made the data."""
    column = profile.column(label)
    return column is not None and column.values is not None and [v.value for v in column.values] == [HIDDEN]


def find_classes(
    profiles: Mapping[Split, DatasetProfile],
    *,
    label: str,
    problem_type: ProblemType,
    label_names: Sequence[str] | None,
) -> Classes:
    """The classes of the labels of all splits, whose kinds were checked. ``label_names`` is what the user gave.

    Regression has no classes, and one name. Raises InvalidData for data with nothing to learn, too many classes, names
    that do not fit, and labels that training never shows.
    """
    train = profiles["train"]
    columns = {
        split: label_column(profile, label=label, problem_type=problem_type) for split, profile in profiles.items()
    }
    column = columns["train"]
    if label_names is not None:
        check_names(label_names)
    if problem_type == "regression":
        return _score(column, label_names)
    if problem_type == "multi_label_classification":
        _refuse_vectors(train, label=label, column=column)
    has_integers = column.has("integer") or column.has("number")
    declared = train.class_names.get(label) if has_integers else None
    num_targets = train.num_rows
    if problem_type == "token_classification":
        num_targets = sum(counted.count for counted in column.kinds.values())
    _check_count(column, num_rows=num_targets, num_named=len(label_names or declared or ()))
    seen = _values(column)
    if declared is not None:
        values, names = _declared(declared, label_names)
    elif has_integers:
        values, names = _integers(seen, label_names)
    elif column.has("boolean"):
        values, names = _booleans(label_names)
    else:
        values, names = _strings(column, label_names)
    check_splits(columns, values=values)
    trained = set(seen)
    unseen = [name for value, name in zip(values, names, strict=True) if value not in trained]
    warnings = []
    if unseen:
        message = f"The training split has no example of: {', '.join(unseen[:10])}{'…' if len(unseen) > 10 else ''}."
        warnings.append({"code": "class_without_examples", "message": message})
    return Classes(values=values, names=names, warnings=warnings)


def _values(column: ColumnProfile) -> list[LabelValue]:
    """Each label once; a whole number that is written with a point is the integer."""
    values = [int(v.value) if isinstance(v.value, float) else v.value for v in column.values or ()]
    return list(dict.fromkeys(values))


def _score(column: ColumnProfile, names: Sequence[str] | None) -> Classes:
    if names is not None and len(names) != 1:
        raise _wrong_number(names, "a regression has one score to be named")
    if column.numbers is not None and column.numbers.min == column.numbers.max:
        raise nothing_to_learn(f"All rows of the train split have the same label, {column.numbers.min:g}")
    return Classes(values=[], names=list(names or (SCORE,)), warnings=_warn_of_size(column))


def _warn_of_size(column: ColumnProfile) -> list[dict[str, str]]:
    numbers = column.numbers
    if numbers is None or (distance := max(numbers.max - numbers.mean, numbers.mean - numbers.min)) <= LARGE_NUMBER:
        return []
    message = (
        f"The labels (column {column.name!r}) are up to {distance:,.6g} away from their mean. A model begins there and "
        "comes that far only slowly: train on smaller numbers, such as the labels divided by the largest."
    )
    return [{"code": "large_numbers", "message": message}]


def _refuse_vectors(train: DatasetProfile, *, label: str, column: ColumnProfile) -> None:
    """Rows of 0s and 1s, one for each class, are another way to write several labels; read as class ids they would lie."""
    lists = train.column(label)
    assert lists is not None, label
    num_lists, num_items = lists.kinds["list"].count, sum(counted.count for counted in column.kinds.values())
    if column.values is not None and {v.value for v in column.values} <= {0, 1} and num_items > 2 * num_lists:
        raise InvalidData(
            f"The labels (column {label!r}) look like one 0 or 1 for each class.",
            param=LABEL,
            code="label_vectors",
            hint='Write the labels that a row has, such as ["joy", "relief"], or their numbers.',
        )


def nothing_to_learn(problem: str) -> InvalidData:
    return InvalidData(f"{problem}; there is nothing to learn.", param=LABEL, code="single_class")


def check_names(names: Sequence[str]) -> None:
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidData(f"label_names has {twice!r} twice.", param=_NAMES, code="duplicate_label_name")
    if not all(name.strip() for name in names):
        raise InvalidData("label_names has an empty name.", param=_NAMES, code="empty_label_name")


def _check_count(column: ColumnProfile, *, num_rows: int, num_named: int) -> None:
    wrong_column = f"{column.name!r} looks like the wrong column; name the right one as columns.label."
    if column.values is None:
        raise InvalidData(
            f"The labels (column {column.name!r}) have too many different values, or too long ones, to be classes.",
            param=LABEL,
            code="too_many_classes",
            hint=wrong_column,
        )
    seen = _values(column)
    num_classes = max(len(seen), num_named)
    if num_classes > MAX_CLASSES:
        raise InvalidData(
            f"There are {num_classes:,} classes (column {column.name!r}); {MAX_CLASSES:,} are the most.",
            param=LABEL,
            code="too_many_classes",
            hint=wrong_column if num_classes > num_rows / 2 else None,
        )
    if num_classes > max(_FEW_CLASSES, num_rows / 2) and not num_named:
        raise InvalidData(
            f"There are {num_classes:,} classes (column {column.name!r}) in {num_rows:,} rows.",
            param=LABEL,
            code="too_many_classes",
            hint=f"{wrong_column} If it is the right one, give label_names.",
        )
    if not seen:
        raise nothing_to_learn("No row of the train split has a label")
    if len(seen) == 1 and sum(counted.count for counted in column.values) >= num_rows:
        raise nothing_to_learn(f"All rows of the train split have the same label, {seen[0]!r}")


def _declared(declared: list[str], names: Sequence[str] | None) -> tuple[list[LabelValue], list[str]]:
    """The source says what classes there are; a label outside is found by ``check_splits``."""
    if names is not None and len(names) != len(declared):
        raise _wrong_number(names, f"the data set declares {len(declared)} classes")
    return list(range(len(declared))), list(names or declared)


def _integers(seen: list[LabelValue], names: Sequence[str] | None) -> tuple[list[LabelValue], list[str]]:
    values = sorted(seen)
    if names is None:
        return values, [str(value) for value in values]
    if len(names) == len(values):
        return values, list(names)
    if int(values[0]) >= 0 and int(values[-1]) == len(names) - 1:  # a class in between has no example
        return list(range(len(names))), list(names)
    raise _wrong_number(names, f"the train split has {len(values)} labels from {values[0]} to {values[-1]}")


def _booleans(names: Sequence[str] | None) -> tuple[list[LabelValue], list[str]]:
    if names is not None and len(names) != 2:
        raise _wrong_number(names, "the labels are booleans (false first)")
    return [False, True], list(names or ("false", "true"))


def _strings(column: ColumnProfile, names: Sequence[str] | None) -> tuple[list[LabelValue], list[str]]:
    assert column.values is not None
    if names is None:
        found = sorted(str(counted.value) for counted in column.values)
        return list(found), found
    unnamed = next((counted for counted in column.values if counted.value not in names), None)
    if unnamed is not None:
        problem = f"has the label {unnamed.value!r}, which label_names has not"
        raise refuse_split_row("train", unnamed.first_row, problem, code="label_not_named", param=_NAMES)
    return list(names), list(names)


def _wrong_number(names: Sequence[str], expected: str) -> InvalidData:
    return InvalidData(
        f"label_names has {len(names)} names, but {expected}.", param=_NAMES, code="label_names_mismatch"
    )


def check_splits(columns: Mapping[Split, ColumnProfile], *, values: list[LabelValue]) -> None:
    known = set(values)
    for split, column in columns.items():
        unknown = _first_unknown(column, known)
        if unknown is None:
            continue
        code = "label_out_of_range" if split == "train" else "label_unseen_in_train"
        reason = "is none of the declared classes" if split == "train" else "does not occur in the train split"
        problem = f"has the label {unknown.value!r}, which {reason} (column {column.name!r})"
        raise refuse_split_row(split, unknown.first_row, problem, code=code, param=LABEL)


def _first_unknown(column: ColumnProfile, known: set[LabelValue]) -> ValueCount | None:
    if column.values is None:  # more different values than there may be classes: one of them is unknown
        first_row = min(counted.first_row for counted in column.kinds.values())
        return ValueCount(value="(too many to list)", count=1, first_row=first_row)
    return next((counted for counted in column.values if counted.value not in known), None)
