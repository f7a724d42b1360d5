"""What all models of the contract share."""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Auto = Literal["auto"]
"""Left to the recipe; replaced by the chosen value in the job's ``spec``."""

ProblemType = Literal[
    "single_label_classification",
    "multi_label_classification",
    "regression",
    "token_classification",
    "language_modeling",
    "extractive_question_answering",
    "sequence_to_sequence",
]
"""What the labels are. Of text classification, by transformers' name: one class of K a row, any number of K labels a row, or a
number. Of token classification: a tag for each word. Of text generation: the text itself. Of text2text generation: the answer.
Of question answering: where in a context the answer stands."""

TaskName = Literal[
    "text-classification", "token-classification", "text-generation", "text2text-generation", "question-answering"
]
"""What a model does, by the Hub's name."""

TASK_OF: Final[dict[ProblemType, TaskName]] = {
    "single_label_classification": "text-classification",
    "multi_label_classification": "text-classification",
    "regression": "text-classification",
    "token_classification": "token-classification",
    "language_modeling": "text-generation",
    "extractive_question_answering": "question-answering",
    "sequence_to_sequence": "text2text-generation",
}

PromptFormat = Literal["plain", "instruction", "chat"]
"""How a prompt is written for a model that generates: as it is; between headings, as Alpaca does (Taori et al., 2023); or by the
chat template of its tokenizer."""

MAX_STEPS = 10_000_000
"""No job is longer; an absurd number is refused where it is written, not found out by a worker."""

Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False, strict=True)]

Metadata = Annotated[
    dict[Annotated[str, StringConstraints(max_length=64)], Annotated[str, StringConstraints(max_length=512)]],
    Field(max_length=16),
]
"""What a user notes of a thing of theirs."""


class Contract(BaseModel):
    """A strict model: unknown names are refused, NaN is no number, defaults are written out."""

    model_config = ConfigDict(
        extra="forbid", allow_inf_nan=False, str_max_length=4096, frozen=True, use_attribute_docstrings=True
    )
    """What is said below a field stands in the OpenAPI document too, and from there in the dashboard's form."""


class Submission(Contract):
    """The body of a request that is kept as it was sent. No database can store a NUL, in whichever text it stands."""

    @model_validator(mode="before")
    @classmethod
    def _storable(cls, value: Any) -> Any:
        if _holds_nul(value):
            raise ValueError("a text cannot hold the character NUL (U+0000)")
        return value


def _holds_nul(value: Any) -> bool:
    match value:
        case str():
            return "\0" in value
        case dict():
            return any(_holds_nul(part) for item in value.items() for part in item)
        case list() | tuple():
            return any(map(_holds_nul, value))
    return False
