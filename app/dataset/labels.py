"""Which classes there are, and what each is called."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from app.dataset.profile import ColumnProfile, DatasetProfile, Kind, ValueCount
from app.dataset.resolved import LabelValue, Split, refuse_split_row
from app.errors import InvalidData

MAX_CLASSES: Final = 5000
_FEW_CLASSES: Final = 20
"""Up to so many are believed even when there are hardly more rows."""
HIDDEN: Final = -1
"""What test splits of public benchmarks hold instead of labels."""

_LABEL: Final = "columns.label"
_NAMES: Final = "label_names"
_REFUSED_KINDS: Final[dict[Kind, tuple[str, str, str | None]]] = {
    "null": ("null_label", "has no label", "Leave out rows without a label."),
    "nan": ("nan_label", "has a label that is not a number (NaN)", "Leave out rows without a label."),
    "list": (
        "multi_label_not_supported",
        "has a list as its label",
        "One label a row, please: multi-label is not there yet.",
    ),
    "object": ("label_not_scalar", "has an object as its label", "A label is a string, an integer or a boolean."),
    "number": (
        "regression_not_supported",
        "has a number with a fraction as its label",
        "Regression is not there yet; write numbers that stand for classes as integers.",
    ),
}


@dataclass(frozen=True, kw_only=True)
class Classes:
    values: list[LabelValue]
    names: list[str]
    warnings: list[dict[str, str]]


def is_hidden(profile: DatasetProfile, *, label: str) -> bool:
    """Whether every label is -1: kept secret by those who made the data."""
    column = profile.column(label)
    return column is not None and column.values is not None and [v.value for v in column.values] == [HIDDEN]


def check_kind(profile: DatasetProfile, *, label: str, split: Split) -> Kind:
    """The one kind of the labels: string, integer or boolean. Raises InvalidData that names the first row of another."""
    column = _column(profile, label)
    for kind, (code, problem, hint) in _REFUSED_KINDS.items():
        if kind in column.kinds:
            raise _refuse(split, column.kinds[kind].first_row, f"{problem} (column {label!r})", code=code, hint=hint)
    if len(column.kinds) > 1:
        kinds = sorted(column.kinds, key=lambda kind: column.kinds[kind].first_row)
        raise _refuse(
            split,
            column.kinds[kinds[1]].first_row,
            f"has a label of type {kinds[1]}, row 1 one of type {kinds[0]} (column {label!r})",
            code="mixed_label_types",
        )
    if column.first_empty_row is not None:
        raise _refuse(split, column.first_empty_row, f"has an empty label (column {label!r})", code="empty_label")
    return next(iter(column.kinds))


def find_classes(profiles: Mapping[Split, DatasetProfile], *, label: str, label_names: Sequence[str] | None) -> Classes:
    """The classes of the labels of all splits, whose kinds were checked. ``label_names`` is what the user gave.

    Raises InvalidData for a single class, too many, names that do not fit, and labels that training never shows.
    """
    train = profiles["train"]
    column = _column(train, label)
    declared = train.class_names.get(label) if column.has("integer") else None
    if label_names is not None:
        _check_names(label_names)
    _check_count(column, num_rows=train.num_rows, num_named=len(label_names or declared or ()))
    seen = _values(column)
    if declared is not None:
        values, names = _declared(declared, label_names)
    elif column.has("integer"):
        values, names = _integers(seen, label_names)
    elif column.has("boolean"):
        values, names = _booleans(label_names)
    else:
        values, names = _strings(column, label_names)
    _check_splits(profiles, label=label, values=values)
    trained = set(seen)
    unseen = [name for value, name in zip(values, names, strict=True) if value not in trained]
    warnings = []
    if unseen:
        message = f"The training split has no example of: {', '.join(unseen[:10])}{'…' if len(unseen) > 10 else ''}."
        warnings.append({"code": "class_without_examples", "message": message})
    return Classes(values=values, names=names, warnings=warnings)


def _column(profile: DatasetProfile, name: str) -> ColumnProfile:
    column = profile.column(name)
    assert column is not None, name
    return column


def _values(column: ColumnProfile) -> list[LabelValue]:
    return [counted.value for counted in column.values or () if not isinstance(counted.value, float)]


def _check_names(names: Sequence[str]) -> None:
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
            param=_LABEL,
            code="too_many_classes",
            hint=wrong_column,
        )
    num_classes = max(len(column.values), num_named)
    if num_classes > MAX_CLASSES:
        raise InvalidData(
            f"There are {num_classes:,} classes (column {column.name!r}); {MAX_CLASSES:,} are the most.",
            param=_LABEL,
            code="too_many_classes",
            hint=wrong_column if num_classes > num_rows / 2 else None,
        )
    if num_classes > max(_FEW_CLASSES, num_rows / 2) and not num_named:
        raise InvalidData(
            f"There are {num_classes:,} classes (column {column.name!r}) in {num_rows:,} rows.",
            param=_LABEL,
            code="too_many_classes",
            hint=f"{wrong_column} If it is the right one, give label_names.",
        )
    if len(column.values) == 1:
        only = column.values[0].value
        raise InvalidData(
            f"All rows of the train split have the same label, {only!r}; there is nothing to learn.",
            param=_LABEL,
            code="single_class",
        )


def _declared(declared: list[str], names: Sequence[str] | None) -> tuple[list[LabelValue], list[str]]:
    """The source says what classes there are; a label outside is found by ``_check_splits``."""
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


def _check_splits(profiles: Mapping[Split, DatasetProfile], *, label: str, values: list[LabelValue]) -> None:
    known = set(values)
    for split, profile in profiles.items():
        column = _column(profile, label)
        unknown = _first_unknown(column, known)
        if unknown is None:
            continue
        code = "label_out_of_range" if split == "train" else "label_unseen_in_train"
        reason = "is none of the declared classes" if split == "train" else "does not occur in the train split"
        raise _refuse(
            split, unknown.first_row, f"has the label {unknown.value!r}, which {reason} (column {label!r})", code=code
        )


def _first_unknown(column: ColumnProfile, known: set[LabelValue]) -> ValueCount | None:
    if column.values is None:  # more different values than there may be classes: one of them is unknown
        first_row = min(counted.first_row for counted in column.kinds.values())
        return ValueCount(value="(too many to list)", count=1, first_row=first_row)
    return next((counted for counted in column.values if counted.value not in known), None)


def _refuse(split: Split, row: int, problem: str, *, code: str, hint: str | None = None) -> InvalidData:
    return refuse_split_row(split, row, problem, code=code, param=_LABEL, hint=hint)
