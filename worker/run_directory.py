"""A trainer's only world: a folder of its attempt with ``run.json``."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from app.config import get_settings
from app.file import service as files
from app.job import retention
from app.job.lifecycle import ClaimedJob
from app.model import service as models
from app.spec.job import JobSpec
from app.spec.run import RUN_FILE, DataFile, NodeSpec, RunSpec, node_folder


def prepare(claimed: ClaimedJob, *, gpus: Sequence[str] | None = None, node: NodeSpec | None = None) -> Path:
    """Make the run directory, of the job or of one of its nodes. Raises a ServiceError when a file or the model is gone, or damaged, since the job was accepted."""
    settings = get_settings()
    claim = claimed.claim
    run_dir = settings.jobs_dir / claim.job_id / f"attempt-{claim.attempt}"
    if node is not None:
        run_dir = node_folder(run_dir, node.rank)
    shutil.rmtree(run_dir, ignore_errors=True)
    retention.collect_of_earlier_attempts(claim.job_id)
    run_dir.mkdir(parents=True)
    spec = JobSpec.model_validate(claimed.spec)
    model_folder, base_folder = models.own_folders(spec.model)
    run = RunSpec(
        job_id=claim.job_id,
        attempt=claim.attempt,
        spec=spec,
        model_path=str(model_folder) if model_folder else None,
        base_path=str(base_folder) if base_folder else None,
        files=_data_files(spec),
        checkpoints=[str(settings.jobs_dir / path) for path in claimed.checkpoints],
        cache_dir=str(settings.cache_dir),
        devices=None if gpus is None else list(gpus),
        node=node,
    )
    (run_dir / RUN_FILE).write_text(run.model_dump_json(indent=2), encoding="utf-8")
    return run_dir


def _data_files(spec: JobSpec) -> dict[str, DataFile]:
    """Uploaded files by split; none for a Hub data set."""
    if spec.dataset.name is not None:
        return {}
    found = {}
    for split in ("train", "validation", "test"):
        file_id = getattr(spec.dataset, split)
        if isinstance(file_id, str) and file_id.startswith("file-"):
            file = files.get_file(file_id)
            found[split] = DataFile(path=str(files.path_of(file)), format=file.format, sha256=file.sha256)
    return found
