"""``JobSpec``: the body of ``POST /jobs``, and, with everything filled in, the record of what a job did."""

import re
from typing import Annotated, Any, Final

from pydantic import Field, StrictInt, StringConstraints, field_validator, model_validator

from app.spec.adapter import AdapterSpec
from app.spec.base import TASK_OF, Auto, Contract, Fraction, Metadata, ProblemType, PromptFormat, Submission, TaskName
from app.spec.resources import ResourcesSpec
from app.spec.training import TrainingSpec

FILE_ID: Final = re.compile(r"file-[0-9a-f]{32}")
HUB_ID: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?")
SPLIT_NAME: Final = re.compile(r"[\w.-]{1,64}(\[[\w%:+-]{0,32}\])?")
FINE_TUNED_ID: Final = re.compile(r"ft:[\w./-]{1,200}:[\w-]*:[\w-]{0,64}:[\w-]{1,64}(:ckpt-step-\d+)?")

LOWEST_PRIORITY: Final = -100

Name = Annotated[str, StringConstraints(min_length=1, max_length=256)]
MetricName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_]{1,40}(/[a-z0-9_]{1,40})?$")]


def check_reference(value: str) -> str:
    """A model or data set is named by an id, never by a path or URL (rule 12). Raises ValueError."""
    if FINE_TUNED_ID.fullmatch(value) and ".." not in value:
        return value
    if HUB_ID.fullmatch(value) and ".." not in value and "--" not in value and not value.endswith((".git", ".ipynb")):
        return value
    raise ValueError("must be an id (such as google-bert/bert-base-uncased), not a path or a URL")


class DatasetSpec(Contract):
    """Uploaded files by id, or a Hub data set by name with the names of its splits."""

    name: Name | None = None
    """Hub data set id; unset for uploads."""
    config: Annotated[str, StringConstraints(pattern=r"^[\w.-]{1,96}$")] | None = None
    revision: Annotated[str, StringConstraints(pattern=r"^[\w][\w./-]{0,127}$")] | None = None
    train: Name | None = None
    """File id, or split name (default ``train``)."""
    validation: Name | Fraction | Auto = "auto"
    """File id, split name, or the fraction of the training split to set aside (seeded; stratified where a row has one class)."""
    test: Name | None = None
    """File id or split name; evaluated once, on the chosen checkpoint, and never used for choosing."""

    @model_validator(mode="before")
    @classmethod
    def _usual_split(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("name") is not None and value.get("train") is None:
            return value | {"train": "train"}
        return value

    @field_validator("name")
    @classmethod
    def _is_id(cls, value: str | None) -> str | None:
        return None if value is None else check_reference(value)

    @field_validator("validation")
    @classmethod
    def _fraction_leaves_both(cls, value: Any) -> Any:
        if isinstance(value, float | int) and not 0 < value < 0.9:
            raise ValueError("a validation fraction must be above 0 and below 0.9")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> "DatasetSpec":
        pattern, kind = (FILE_ID, "a file id (file-…)") if self.name is None else (SPLIT_NAME, "a split name")
        if self.name is None and self.train is None:
            raise ValueError("give train, the id of an uploaded file, or name, a Hub data set")
        if self.name is None and (self.config or self.revision):
            raise ValueError("config and revision belong to a Hub data set; give its name")
        for field in ("train", "validation", "test"):
            value = getattr(self, field)
            chosen = field == "validation" and value == "auto"
            if isinstance(value, str) and not chosen and (not pattern.fullmatch(value) or ".." in value):
                raise ValueError(f"{field} must be {kind}")
        return self


class ColumnsSpec(Contract):
    """Which columns of the data play which part."""

    text: Name | Auto = "auto"
    """The text; for token classification the list of its words, or the text that the spans are of; for text generation the
    text to be learned, the prompt, or a list of chat messages ``{role, content}``; for text2text generation the source; for question
    answering the question."""
    text_pair: Name | Auto | None = "auto"
    """``null``: there is no second text, whatever the data holds. For text generation what the prompt is about;
    for question answering the context that the answer stands in."""
    label: Name | Auto | None = "auto"
    """The label; for text generation the answer to the prompt, or ``null`` where the text itself is learned; for token classification the list of tags, one for each word, or of spans ``{start, end, label}``;
    for question answering ``{"text": [...], "answer_start": [...]}``, or a list of ``{text, answer_start}``."""


class JobSpec(Submission):
    """What to train, on what, and how. Only ``model`` and ``dataset`` are required."""

    model: Name
    """Hub id, registered name, or ``ft:…`` id of a finished model."""
    model_revision: Annotated[str, StringConstraints(pattern=r"^[\w][\w./-]{0,127}$")] | None = None
    task: TaskName | Auto = "auto"
    """auto: an encoder-decoder does text2text generation, whatever the data; else lists of words with lists of tags, or texts with
    lists of spans, are token classification; questions with contexts and answers that stand in them question answering; chat
    messages, prompts with answers, and texts alone text generation; all else is text classification."""
    problem_type: ProblemType | Auto = "auto"
    """auto: lists of labels are several labels a row, numbers with a fraction regression, all else one class a row."""
    dataset: DatasetSpec
    columns: ColumnsSpec = ColumnsSpec()
    label_names: Annotated[list[Annotated[str, StringConstraints(max_length=256)]], Field(max_length=5000)] | Auto = (
        "auto"
    )
    """Names of the classes in the order of their ids; auto: the labels' own text, integers sorted by value.
    For regression the one name of the score, for spans the kinds of entities."""
    prompt_format: PromptFormat | Auto | None = "auto"
    """For text generation, else null; auto: ``chat`` for messages, and for prompts where the tokenizer has a chat template;
    ``instruction`` for other prompts with answers; ``plain`` for texts."""
    training: TrainingSpec = TrainingSpec()
    adapter: AdapterSpec | None = None
    """Train few weights beside the model's own, such as ``{"type": "lora", "r": 8}``; unset: all of its weights."""
    resources: ResourcesSpec = ResourcesSpec()
    metrics: Annotated[list[MetricName], Field(min_length=1, max_length=16)] | MetricName | Auto = "auto"
    """Metric names, or a named set such as ``glue/mrpc``."""
    priority: Annotated[StrictInt, Field(ge=LOWEST_PRIORITY, le=100)] = 0
    """Of the jobs that wait, those with the highest number run first; among equals the oldest."""
    max_runtime_seconds: Annotated[float, Field(gt=0, strict=True)] | None = None
    """The job fails once its attempts have run for longer together; waiting does not count."""
    suffix: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")] | None = None
    """Part of the finished model's id."""
    metadata: Metadata = Field(default_factory=dict)

    @field_validator("model")
    @classmethod
    def _is_id(cls, value: str) -> str:
        return check_reference(value)

    @model_validator(mode="after")
    def _consistent(self) -> "JobSpec":
        if self.problem_type != "auto" and self.task not in {"auto", TASK_OF[self.problem_type]}:
            raise ValueError(f"problem_type {self.problem_type} is {TASK_OF[self.problem_type]}, not {self.task}")
        batch_size = self.training.per_device_train_batch_size
        processes = self.resources.all_processes
        if batch_size != "auto" and batch_size < processes:
            on_nodes = f" on each of {self.resources.nodes} nodes" if self.resources.nodes > 1 else ""
            raise ValueError(
                f"resources.processes is {self.resources.processes}{on_nodes}, but training.per_device_train_batch_size is "
                f"{batch_size}: the processes share its examples, so it must be {processes} at least "
                "(with fewer gradient_accumulation_steps a step stays the same)"
            )
        return self
