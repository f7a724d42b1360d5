"""A trainer's only world: a folder of its attempt with ``run.json``."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr

from app import storage
from app.config import get_settings
from app.dataset.resolved import SPLITS, Split
from app.file import service as files
from app.file.models import File
from app.job import retention
from app.job.lifecycle import ClaimedJob
from app.manifest import CorruptArtefactError
from app.model import service as models
from app.spec.export import ExportSpec
from app.spec.job import JobSpec
from app.spec.kinds import AnySpec, JobKind, stored_spec
from app.spec.prediction import PredictionSpec
from app.spec.run import (
    RUN_FILE,
    AnyRun,
    DataFile,
    ExportRun,
    NodeSpec,
    PredictionRun,
    RunSpec,
    ServedFolder,
    node_folder,
)
from worker import hub_access, isolation


@dataclass(frozen=True, kw_only=True)
class World:
    """All that a trainer is given."""

    run_dir: Path
    hub_token: SecretStr | None
    """Of a job that reads the Hub; others are given none."""


def prepare(claimed: ClaimedJob, *, gpus: Sequence[str] | None = None, node: NodeSpec | None = None) -> World:
    """Make the run directory, of the job or of one of its nodes.

    Raises a ServiceError when a file or the model is gone, or damaged, since the job was accepted, or its Hub token cannot be read.
    """
    isolation.refuse_nodes_without_network(claimed.nodes)
    settings = get_settings()
    claim = claimed.claim
    run_dir = settings.jobs_dir / claim.job_id / f"attempt-{claim.attempt}"
    if node is not None:
        run_dir = node_folder(run_dir, node.rank)
    shutil.rmtree(run_dir, ignore_errors=True)
    retention.collect_of_earlier_attempts(claim.job_id)
    run_dir.mkdir(parents=True)
    told = {
        "job_id": claim.job_id,
        "attempt": claim.attempt,
        "checkpoints": [str(_fetched(settings.jobs_dir / path)) for path in claimed.checkpoints],
        "cache_dir": str(settings.cache_dir),
        "devices": None if gpus is None else list(gpus),
        "node": node,
        "confinement": isolation.confinement(),
    }
    run = _WORLDS[claimed.kind](stored_spec(claimed.kind, claimed.spec), told)
    hub_token = hub_access.token_of(claimed.project_id) if _reads_the_hub(run) else None
    (run_dir / RUN_FILE).write_text(run.model_dump_json(indent=2), encoding="utf-8")
    isolation.lend(run_dir)
    return World(run_dir=run_dir, hub_token=hub_token)


def _reads_the_hub(run: AnyRun) -> bool:
    return isinstance(run, RunSpec) and (run.model_path is None or run.spec.dataset.name is not None)


def _fetched(checkpoint: Path) -> Path:
    """One that cannot be had whole is the trainer's to tell of; it goes on from an older one."""
    try:
        return storage.fetch(checkpoint)
    except CorruptArtefactError:
        return checkpoint


def _training(spec: AnySpec, told: dict[str, Any]) -> AnyRun:
    assert isinstance(spec, JobSpec)
    model_folder, base_folder = models.own_folders(spec.model)
    return RunSpec(
        spec=spec,
        model_path=str(model_folder) if model_folder else None,
        base_path=str(base_folder) if base_folder else None,
        files=_data_files(spec),
        **told,
    )


def _prediction(spec: AnySpec, told: dict[str, Any]) -> AnyRun:
    assert isinstance(spec, PredictionSpec)
    file = files.get_file(spec.file)
    profile = files.profile_of(file)
    assert profile is not None, "the job was accepted with rows to predict"
    return PredictionRun(
        spec=spec,
        model=_served(spec.model),
        file=_data_file(file),
        filename=file.filename,
        num_rows=profile.num_rows,
        **told,
    )


def _export(spec: AnySpec, told: dict[str, Any]) -> AnyRun:
    assert isinstance(spec, ExportSpec)
    return ExportRun(spec=spec, model=_served(spec.model), **told)


_WORLDS: Final[dict[JobKind, Callable[[AnySpec, dict[str, Any]], AnyRun]]] = {
    JobKind.TRAINING: _training,
    JobKind.PREDICTION: _prediction,
    JobKind.EXPORT: _export,
}
"""By the kind of job: what an attempt is told, from the stored spec and what all attempts are told."""


def _served(model_id: str) -> ServedFolder:
    """Whoever loads it compares its bytes with the manifest."""
    found = models.published(model_id)
    return ServedFolder(
        id=model_id,
        path=str(found.folder),
        manifest_sha256=found.manifest_sha256,
        base_path=str(found.base) if found.base else None,
    )


def _data_files(spec: JobSpec) -> dict[Split, DataFile]:
    """Uploaded files by split; none for a Hub data set."""
    if spec.dataset.name is not None:
        return {}
    found: dict[Split, DataFile] = {}
    for split in SPLITS:
        file_id = getattr(spec.dataset, split)
        if isinstance(file_id, str) and file_id.startswith("file-"):
            found[split] = _data_file(files.get_file(file_id))
    return found


def _data_file(file: File) -> DataFile:
    return DataFile(path=str(files.fetched(file)), format=file.format, sha256=file.sha256)
