"""What a trainer tells the worker: JSON lines, each of a type."""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from app.spec.job import JobSpec
from app.spec.mistakes import Mistake


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PhaseMessage(_Message):
    type: Literal["phase"] = "phase"
    phase: str


class ResolvedMessage(_Message):
    """The spec with every ``"auto"`` replaced."""

    type: Literal["resolved"] = "resolved"
    spec: JobSpec


class StartedMessage(_Message):
    """Training begins after ``resumed_from_step`` (0: from the start); the counts of the run are known."""

    type: Literal["started"] = "started"
    resumed_from_step: int
    max_steps: int
    num_epochs: float
    num_examples: dict[str, int]


class BegunMessage(_Message):
    """Work that is no training begins; its steps are pieces, such as rows. ``resumed_from_step`` of them are done."""

    type: Literal["begun"] = "begun"
    resumed_from_step: int
    max_steps: int
    message: str
    """For the job's story."""


class ProgressMessage(_Message):
    type: Literal["progress"] = "progress"
    step: int
    max_steps: int
    epoch: float
    samples_per_second: float | None = None
    tokens_per_second: float | None = None
    eta_seconds: float | None = None
    num_tokens: int | None = None
    """Learned from since the job began."""
    gpu_memory_bytes: int | None = None
    """The most that the leading process has held of its GPU; None without one."""


class AliveMessage(_Message):
    """Sent when there is nothing else to say, so that a trainer that is at work is told from one that hangs."""

    type: Literal["alive"] = "alive"
    idle_seconds: float
    """How long ago the main thread said anything, or that it goes on."""


class Point(_Message):
    step: int
    epoch: float
    name: str
    value: float


class MetricsMessage(_Message):
    type: Literal["metrics"] = "metrics"
    points: list[Point]


class CheckpointMessage(_Message):
    """A checkpoint was committed at ``path`` (absolute). ``deleted`` are folders that rotation will now remove."""

    type: Literal["checkpoint"] = "checkpoint"
    path: str
    step: int
    epoch: float
    is_best: bool
    resumable: bool
    metrics: dict[str, float]
    manifest_sha256: str
    size_bytes: int
    deleted: list[str] = Field(default_factory=list)


class CorruptMessage(_Message):
    """A checkpoint of an earlier attempt could not be used."""

    type: Literal["corrupt"] = "corrupt"
    path: str
    message: str


class WarningMessage(_Message):
    type: Literal["warning"] = "warning"
    code: str
    message: str


class LogMessage(_Message):
    """Something a user following the job wants to read."""

    type: Literal["log"] = "log"
    level: Literal["info", "warn", "error"] = "info"
    message: str
    data: dict[str, Any] | None = None


class DataReportMessage(_Message):
    type: Literal["data_report"] = "data_report"
    data_report: dict[str, Any]


class MistakesMessage(_Message):
    """What the chosen checkpoint got wrong in a split, through the serving path, worst first."""

    type: Literal["mistakes"] = "mistakes"
    split: Literal["validation", "test"]
    rows_of: Literal["train", "validation", "test"]
    """The split that the rows are counted in: what was set aside from train is in the file of that."""
    num_examples: int
    num_wrong: int | None
    mistakes: list[Mistake]


class ErrorMessage(_Message):
    """The job cannot succeed as it is (exit code 65)."""

    type: Literal["error"] = "error"
    code: str
    message: str
    param: str | None = None
    hint: str | None = None


class KeptBase(_Message):
    """A sealed folder with the weights that an attached model is served on."""

    path: str
    weights_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class ResultMessage(_Message):
    """Training has ended well; ``model_path`` is a sealed folder (manifest) ready to be published."""

    type: Literal["result"] = "result"
    model_path: str
    manifest_sha256: str
    weights_sha256: str
    last_step: int
    """The optimizer steps of the whole run."""
    num_tokens: int | None = None
    """Learned from in the whole run."""
    best_step: int
    best_epoch: float
    metrics: dict[str, float]
    """``eval/…`` (and ``test/…``) of the chosen checkpoint, measured through the serving path."""
    report: dict[str, Any]
    timings: dict[str, float]
    base: KeptBase | None = None
    """Unset: ``model_path`` holds the whole model."""


class ResultFile(_Message):
    """A sealed folder (manifest) with a file that is ready to be published."""

    file_id: str = Field(pattern=r"^file-[0-9a-f]{32}$")
    folder: str
    filename: str
    stored_as: str
    """Its name in the folder."""
    purpose: Literal["predictions", "export"]
    format: Literal["jsonl", "zip"]
    profile: dict[str, Any]
    """Of its rows, if it has any."""


class FilesMessage(_Message):
    """The work has ended well, and these files are its result."""

    type: Literal["files"] = "files"
    files: list[ResultFile]
    num_done: int
    """Of the ``max_steps`` that ``BegunMessage`` told of."""
    report: dict[str, Any]
    timings: dict[str, float]


Message = Annotated[
    PhaseMessage
    | ResolvedMessage
    | StartedMessage
    | BegunMessage
    | ProgressMessage
    | AliveMessage
    | MetricsMessage
    | CheckpointMessage
    | CorruptMessage
    | WarningMessage
    | LogMessage
    | DataReportMessage
    | MistakesMessage
    | ErrorMessage
    | ResultMessage
    | FilesMessage,
    Field(discriminator="type"),
]
MESSAGE: Final[TypeAdapter[Message]] = TypeAdapter(Message)
