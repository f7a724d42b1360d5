"""``tunery.json``: what a finished model needs to be served as it was evaluated. Stored beside its weights."""

from typing import Final, Literal

from app.spec.base import Contract, ProblemType, PromptFormat, TaskName

SERVING_FILE: Final = "tunery.json"


class ServingSpec(Contract):
    """The model's own preprocessing and the meaning of its outputs."""

    task: TaskName
    problem_type: ProblemType = "single_label_classification"
    """Models made before there were others have one class a text."""
    base_model: str
    labels: list[str]
    """Names of the outputs: of the classes or tags by their id, or the one name of a regression's score; none of a model that
    generates; ``start`` and ``end`` of one that finds answers."""
    text_fields: list[str]
    """Columns it was trained on, in the order they were tokenised: one, or two for pairs."""
    max_length: int
    prompt_format: PromptFormat | None = None
    """Of a model that generates."""
    doc_stride: int | None = None
    """Of a model that finds answers: tokens that windows of a long context share."""
    handle_impossible_answer: bool = False
    """Of a model that finds answers: it was shown questions without one, and may say that there is none."""
    precision: Literal["float32", "bfloat16"]
    """What evaluation ran in, and what serving runs in."""
