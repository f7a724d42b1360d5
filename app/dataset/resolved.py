"""What the data of a job was found to mean."""

from dataclasses import dataclass, field
from typing import Final, Literal

from app.errors import InvalidData, Problem
from app.spec.base import ProblemType, TaskName

Split = Literal["train", "validation", "test"]
SPLITS: Final[tuple[Split, ...]] = ("train", "validation", "test")

LabelValue = str | int | bool


@dataclass(frozen=True, kw_only=True)
class ResolvedData:
    """Which columns to read, and which class each label is."""

    task: TaskName
    problem_type: ProblemType
    text: str
    text_pair: str | None
    label: str | None
    """None where the text itself is learned."""
    label_names: list[str]
    """By class id; the one name of a regression's score; of spans the kinds of entities."""
    label_values: list[LabelValue]
    """By class id: the label as it stands in the data. Empty for regression."""
    spans: bool = False
    """Whether the labels are spans of the text's characters, not tags of its words."""
    may_have_no_answer: bool = False
    """Whether some questions of the training split have no answer in their context."""
    has_test: bool
    """Whether there is a test split with labels; one whose labels are hidden (all -1) is left out."""
    warnings: list[dict[str, str]] = field(default_factory=list)
    """``{"code", "message"}``"""

    @property
    def text_columns(self) -> list[str]:
        return [self.text] if self.text_pair is None else [self.text, self.text_pair]

    def class_ids(self) -> dict[LabelValue, int]:
        """Class id by label as it stands in the data."""
        return {value: class_id for class_id, value in enumerate(self.label_values)}


def refuse_split_row(
    split: Split, row: int, problem: str, *, code: str, param: str, hint: str | None = None
) -> InvalidData:
    """Make the error for one bad row of a split; ``param`` is the field to blame if it is the train split."""
    param = param if split == "train" else f"dataset.{split}"
    message = f"Row {row:,} of the {split} split {problem}."
    return InvalidData(
        message,
        param=param,
        code=code,
        hint=hint,
        problems=(Problem(message=message, param=param, code=code, row=row),),
    )
