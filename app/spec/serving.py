"""``tunery.json``: what a finished model needs to be served as it was evaluated. Stored beside its weights."""

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import StringConstraints

from app.spec.base import Contract, ProblemType, PromptFormat, TaskName

SERVING_FILE: Final = "tunery.json"
BASES_FOLDER: Final = "bases"
"""Beside the folder of models: base models that adapters are served on, each in a folder named by the hash of its weights."""

Precision = Literal["float32", "bfloat16"]


class BaseIdentity(Contract):
    """The model that an adapter is served on."""

    model: str
    """What the job's spec called it."""
    revision: str | None = None
    """The commit of a Hub model."""
    weights_sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    """As ``Manifest.weights_sha256`` has it: of one file, the hash that the Hub shows beside it."""


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
    precision: Precision
    """What evaluation ran in, and what serving runs in: bfloat16 on a CPU, if the model can be packed there."""
    base: BaseIdentity | None = None
    """Of a folder that holds an adapter alone."""


def base_folder(model_folder: Path, weights_sha256: str) -> Path:
    """Where the base of the attached model in ``model_folder`` lies, once both are published."""
    return model_folder.parents[1] / BASES_FOLDER / weights_sha256
