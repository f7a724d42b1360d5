"""Which kind of problem the labels are, and whether every one of them is of that kind."""

from collections.abc import Mapping
from typing import Final, Literal

from app.dataset.profile import ColumnProfile, DatasetProfile, Kind
from app.dataset.resolved import Split, refuse_split_row
from app.spec.base import Auto, ProblemType

LABEL: Final = "columns.label"

_Reason = Literal["null", "nan", "object", "list", "not_a_list", "not_a_number"]
_REFUSALS: Final[dict[_Reason, tuple[str, str, str | None]]] = {
    "null": ("null_label", "has no label", "Leave out rows without a label."),
    "nan": ("nan_label", "has a label that is not a finite number", "Leave out rows without a label."),
    "object": ("label_not_scalar", "has an object as its label", "A label is a string, a number or a boolean."),
    "list": (
        "label_is_a_list",
        "has a list where one label is expected",
        'problem_type "multi_label_classification" takes a list of labels in every row.',
    ),
    "not_a_list": (
        "label_not_a_list",
        "has a label that is not in a list",
        'Several labels a row are lists, such as [] or ["a", "b"], in JSON Lines or Parquet; CSV has no lists.',
    ),
    "not_a_number": ("label_not_a_number", "has a label that is not a number", "Regression needs numbers."),
}
_NEVER: Final[dict[Kind, _Reason]] = {"null": "null", "nan": "nan", "object": "object"}
_NO_CLASS: Final[dict[Kind, _Reason]] = {**_NEVER, "list": "list"}
_NO_NUMBER: Final[dict[Kind, _Reason]] = {**_NO_CLASS, "string": "not_a_number", "boolean": "not_a_number"}
_NO_LIST: Final[dict[Kind, _Reason]] = {
    **_NEVER, "string": "not_a_list", "integer": "not_a_list", "number": "not_a_list", "boolean": "not_a_list",
}  # fmt: skip


_IN_LISTS: Final = {"multi_label_classification", "token_classification"}


def find_problem_type(train: DatasetProfile, *, label: str, asked: ProblemType | Auto) -> ProblemType:
    """What was asked for; else lists are several labels a row, numbers with a fraction regression, all else classes."""
    column = train.column(label)
    assert column is not None, label
    if asked != "auto":
        return asked
    if column.has("list"):
        return "multi_label_classification"
    numeric = column.kinds.keys() <= {"integer", "number", "null", "nan"}
    return "regression" if numeric and _row_of_fraction(column) is not None else "single_label_classification"


def label_column(profile: DatasetProfile, *, label: str, problem_type: ProblemType) -> ColumnProfile:
    """Where the labels are: the column, or the items of its lists, or what spans among them call their label."""
    column = profile.column(label)
    assert column is not None, label
    if problem_type not in _IN_LISTS:
        return column
    items = column.items or ColumnProfile(name=label, kinds={}, values=[])
    of_spans = items.field("label") if problem_type == "token_classification" else None
    return items if of_spans is None else of_spans.model_copy(update={"name": label})


def check_kinds(splits: Mapping[Split, DatasetProfile], *, label: str, problem_type: ProblemType) -> None:
    """Raise InvalidData that names the first row whose label is no label of such a problem, or of another kind."""
    kinds = {split: _check(profile, label, split=split, problem_type=problem_type) for split, profile in splits.items()}
    for split, kind in kinds.items():
        if None not in (kind, kinds["train"]) and kind != kinds["train"]:
            column = label_column(splits[split], label=label, problem_type=problem_type)
            raise refuse_split_row(
                split,
                min(counted.first_row for counted in column.kinds.values()),
                f"has a label of type {kind}, but the train split has {kinds['train']} labels (column {label!r})",
                code="mixed_label_types",
                param=LABEL,
            )


def _check(profile: DatasetProfile, label: str, *, split: Split, problem_type: ProblemType) -> Kind | None:
    """The one kind of the labels of a split, whole numbers counting as integers; None if it has no label at all."""
    column = profile.column(label)
    assert column is not None, label
    if problem_type == "regression":
        _refuse(column, _NO_NUMBER, split=split)
        return "number"
    if problem_type in _IN_LISTS:
        _refuse(column, _NO_LIST, split=split)
        column = label_column(profile, label=label, problem_type=problem_type)
    _refuse(column, _NO_CLASS, split=split)
    first_rows: dict[Kind, int] = {}
    for kind, counted in sorted(column.kinds.items(), key=lambda item: item[1].first_row):
        first_rows.setdefault("integer" if kind == "number" else kind, counted.first_row)
    if len(first_rows) > 1:
        (one, row), (other, other_row) = list(first_rows.items())[:2]
        problem = f"has a label of type {other}, row {row:,} one of type {one} (column {label!r})"
        raise refuse_split_row(split, other_row, problem, code="mixed_label_types", param=LABEL)
    if (row_of_fraction := _row_of_fraction(column)) is not None:
        raise refuse_split_row(
            split,
            row_of_fraction,
            f"has a number with a fraction as its label (column {label!r})",
            code="label_is_a_fraction",
            param=LABEL,
            hint='Numbers that stand for classes are whole; problem_type "regression" takes all.',
        )
    if column.first_empty_row is not None:
        problem = f"has an empty label (column {label!r})"
        raise refuse_split_row(split, column.first_empty_row, problem, code="empty_label", param=LABEL)
    return next(iter(first_rows), None)


def _row_of_fraction(column: ColumnProfile) -> int | None:
    """The first row whose number is not whole. So many different ones that they are not remembered count as that."""
    if not column.has("number"):
        return None
    if column.values is None:
        return column.kinds["number"].first_row
    return next((v.first_row for v in column.values if isinstance(v.value, float) and not v.value.is_integer()), None)


def _refuse(column: ColumnProfile, wrong: Mapping[Kind, _Reason], *, split: Split) -> None:
    for reason, (code, problem, hint) in _REFUSALS.items():
        rows = [column.kinds[kind].first_row for kind, why in wrong.items() if why == reason and kind in column.kinds]
        if rows:
            told = f"{problem} (column {column.name!r})"
            raise refuse_split_row(split, min(rows), told, code=code, param=LABEL, hint=hint)
