"""What the worker tells a trainer: ``run.json`` in the run directory. What the trainer tells back is in ``app.spec.messages``.

The control descriptor goes the other way: the worker writes ``finish`` (train no further, publish the best model),
``recorded N`` (the checkpoint of step N stands in the database: what it replaces may go), ``drain`` (checkpoint at the next optimizer step, exit 75) or ``cancel`` (leave without a checkpoint) and a newline; its end of file means the worker is dead and the trainer exits.
"""

from enum import IntEnum
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from app.spec.export import ExportSpec
from app.spec.job import JobSpec
from app.spec.prediction import PredictionSpec

RUN_FILE: Final = "run.json"
TRAINER_LOG: Final = "trainer.log"


class ExitCode(IntEnum):
    """How a trainer ends. Any other code, and any signal, is a crash."""

    SUCCESS = 0
    USER_ERROR = 65
    """An ``error`` event said why; trying again would not help."""
    DRAINED = 75
    """Stopped on ``drain`` or SIGTERM with a checkpoint; another attempt goes on from it."""
    CANCELLED = 76
    """Stopped on ``cancel``."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataFile(_Part):
    """An uploaded file, where it lies and what it must be."""

    path: str
    format: Literal["jsonl", "csv", "parquet"]
    sha256: str


class NodeSpec(_Part):
    """Which part of a job that several workers run together this run directory is of."""

    rank: int
    """0 leads: its run directory is the one that all ranks of the job work in. That of node 3 is ``node-3`` below it."""
    count: int
    endpoint: str
    """``host:port`` of the leader, where the nodes meet."""


class Confinement(_Part):
    """What a trainer gives up before it looks at its job. A file mask of 077, no core files and no new privileges it always has."""

    user: int | None = None
    """Its number; unset: the worker's own. With it go ``group`` and ``groups``."""
    group: int | None = None
    groups: list[int] = Field(default_factory=list)
    memory_bytes: int | None = None
    """Of each of its processes; unset: unbounded."""
    network: Literal["host", "none"] = "host"


class _Run(_Part):
    """What every attempt is told. All paths are absolute."""

    job_id: str
    attempt: int
    checkpoints: list[str] = Field(default_factory=list)
    """Folders of committed checkpoints of earlier attempts, newest first."""
    cache_dir: str
    devices: list[str] | None = None
    """GPUs that are this attempt's, as ``CUDA_VISIBLE_DEVICES`` names them; unset: what the environment says."""
    confinement: Confinement = Confinement()
    node: NodeSpec | None = None
    """Unset: the job has one node, and its processes fork from the first."""

    @property
    def processes(self) -> int:
        """On each node."""
        return 1


class RunSpec(_Run):
    """A trainer's only world. The first of ``checkpoints`` that verifies is resumed from."""

    kind: Literal["training"] = "training"
    spec: JobSpec
    model_path: str | None = None
    """Folder of a registered or finished model; unset: load ``spec.model`` from the Hub."""
    base_path: str | None = None
    """Of a finished model that is an adapter: the folder of what it is attached to."""
    files: dict[Literal["train", "validation", "test"], DataFile] = Field(default_factory=dict)
    """For uploads; empty for a Hub data set."""

    @property
    def processes(self) -> int:
        return self.spec.resources.processes


class ServedFolder(_Part):
    """A finished model as it was published."""

    id: str
    path: str
    manifest_sha256: str
    base_path: str | None = None
    """Of an adapter: the folder of what it is attached to."""


class PredictionRun(_Run):
    """The world of an attempt that asks a model about the rows of a file. ``checkpoints`` are the parts that are done."""

    kind: Literal["prediction"] = "prediction"
    spec: PredictionSpec
    model: ServedFolder
    file: DataFile
    filename: str
    """Of the upload."""
    num_rows: int


class ExportRun(_Run):
    """The world of an attempt that writes a model down in another format."""

    kind: Literal["export"] = "export"
    spec: ExportSpec
    model: ServedFolder


AnyRun = Annotated[RunSpec | PredictionRun | ExportRun, Field(discriminator="kind")]
RUN: Final[TypeAdapter[AnyRun]] = TypeAdapter(AnyRun)
"""What ``run.json`` holds."""


def node_folder(run_dir: Path, rank: int) -> Path:
    """The run directory of a node, where ``run_dir`` is the leader's."""
    return run_dir / f"node-{rank}" if rank else run_dir


def shared_run_dir(node: NodeSpec, run_dir: Path) -> Path:
    """The run directory of the leader, where ``run_dir`` is that of ``node``."""
    return run_dir.parent if node.rank else run_dir
