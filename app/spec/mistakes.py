"""What the finished model got wrong: how the trainer tells of it, and how it is stored."""

from typing import Final

from pydantic import BaseModel, ConfigDict, Field

MAX_TEXT_CHARS: Final = 1000
"""Of each text of a mistake."""


class _Told(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class EntityPlace(_Told):
    """An entity in a text; its characters counted from 0, the end not counted."""

    entity_group: str
    word: str
    start: int
    end: int
    score: float | None = Field(default=None, description="null: it is one of the data")


class Mistake(_Told):
    """One example that the model answers otherwise than the data. What a field is depends on the task."""

    row: int = Field(description="From 1, in the file or the split that `rows_of` names")
    text: str = Field(
        description=f"Cut after {MAX_TEXT_CHARS:,} characters, as the second text is; of a context what is around the answer"
    )
    text_pair: str | None = None
    label: str | float | list[str] | list[EntityPlace] = Field(
        description="What is right: a class, the labels, a number, or the answers; of tags the entities that were not found"
    )
    predicted: str | float | list[str] | list[EntityPlace] = Field(
        description="What the model says; of tags the entities that it found and that are none of these"
    )
    missed: list[str] = Field(
        default_factory=list, description="Classes, labels or kinds that are right and were not found"
    )
    wrong: list[str] = Field(default_factory=list, description="Those that were found and are not right")
    score: float | None = Field(
        default=None, description="How sure the model was of what is wrong, from 0 to 1; of numbers null"
    )
    label_score: float | None = Field(default=None, description="The score of the right class")
    error: float | None = Field(default=None, description="Of numbers: `predicted` less `label`")
