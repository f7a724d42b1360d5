"""What is known of a data file or split after one pass over it. Stored with the file; all inference works on it."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from app.spec.base import ProblemType

Kind = Literal["string", "integer", "number", "boolean", "list", "object", "null", "nan"]
"""``number`` is a JSON number that is not an integer; ``nan`` a not-a-number or infinity; absent values are ``null``."""


class _Profile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class KindCount(_Profile):
    count: int
    first_row: int
    """1-based, counting data rows."""


class NumberRange(_Profile):
    """Finite numbers, integers counted."""

    min: float
    max: float
    mean: float


class ValueCount(_Profile):
    value: str | int | float | bool
    count: int
    first_row: int


class ColumnProfile(_Profile):
    """One column: what kinds of values it holds, where each kind is first met, and its distinct values if few."""

    name: str
    kinds: dict[Kind, KindCount]
    values: list[ValueCount] | None = None
    """Distinct strings, integers, numbers and booleans in order of first appearance; null once too many or too long."""
    max_chars: int = 0
    mean_chars: float = 0.0
    num_empty: int = 0
    """Strings that are empty or only white space."""
    first_empty_row: int | None = None
    length_histogram: list[int] = Field(default_factory=list)
    """Strings by length in characters: [0,16), [16,32), [32,64), … doubling; the last bucket is open."""
    numbers: NumberRange | None = None
    items: "ColumnProfile | None" = None
    """What the lists hold, all of them together, each item with the row of its list. It is as far as was read when there
    were too many different values; None if no list has an item."""
    num_empty_lists: int = 0
    fields: "list[ColumnProfile]" = Field(default_factory=list)
    """What its objects hold, as a column for each name."""

    def has(self, kind: Kind) -> bool:
        return kind in self.kinds

    def field(self, name: str) -> "ColumnProfile | None":
        return next((field for field in self.fields if field.name == name), None)


class UnevenLists(_Profile):
    """The first row in which the lists of two columns differ in length."""

    columns: tuple[str, str]
    row: int
    lengths: tuple[int, int]


class Conflict(_Profile):
    """Rows with the same texts and different labels."""

    rows: list[int]
    """The first of them, from 1."""
    num_rows: int
    labels: list[str]
    """Of those rows, by name; cut where they are long, as texts are."""
    text: str
    text_pair: str | None = None


class InputsProfile(_Profile):
    """How often rows ask the same, if the columns play these parts."""

    text: str
    text_pair: str | None
    label: str | None
    problem_type: ProblemType
    num_rows: int
    """That were compared with each other: of a very long file the first."""
    num_repeated: int
    """Rows whose texts an earlier row has."""
    num_conflicting_inputs: int
    """Texts that stand in several rows whose labels differ."""
    num_conflicting_rows: int
    conflicts: list[Conflict] = Field(default_factory=list)
    """The first few."""


class DatasetProfile(_Profile):
    num_rows: int
    columns: list[ColumnProfile]
    class_names: dict[str, list[str]] = Field(default_factory=dict)
    """Names of integer classes by column, where the source declares them (a Hub data set's ClassLabel)."""
    num_exact_duplicates: int = 0
    uneven_lists: list[UnevenLists] = Field(default_factory=list)
    """By pair of columns of lists, where there is such a row."""
    inputs: InputsProfile | None = None
    """Of an upload whose columns tell their parts by themselves, and of a split that was read for a job."""

    def column(self, name: str) -> ColumnProfile | None:
        return next((column for column in self.columns if column.name == name), None)
