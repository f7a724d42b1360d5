"""What a job has left in the store goes with it, whichever machine deletes it."""

import shutil
from datetime import timedelta

from app import storage
from app.config import get_settings
from app.file import service as files
from app.job import deletion, retention
from app.job.deletion import Results
from app.manifest import committed_folder
from app.model import service as models
from app.spec.run import TRAINER_LOG
from app.storage.folders import remote_store
from app.verify import verify
from tests.job.test_deletion import finished_job


def stored() -> set[str]:
    """What lies in the store, by the first two steps of its path; SeaweedFS also tells of folders that are empty."""
    keys = [entry.key.split("/") for root in ("jobs", "artefacts") for entry in remote_store().entries(root)]
    return {"/".join(steps[:2]) for steps in keys if len(steps) > 2}


def published_job(machines, tmp_path, migrated_sqlite, monkeypatch):
    """Finished on machine a, with its log, a checkpoint, its model and a file in the store."""
    shutil.copy(migrated_sqlite, tmp_path / "shared.db")
    machines.go_to("a", TUNERY_DATABASE_URL=f"sqlite:///{tmp_path / 'shared.db'}")
    job_id, model_id, file_id = finished_job()
    attempt = get_settings().jobs_dir / job_id / "attempt-1"
    with committed_folder(attempt / "checkpoints/step-00000001") as folder:
        (folder / "model.safetensors").write_bytes(b"weights")
    storage.publish(attempt / "checkpoints/step-00000001")
    storage.put_file(attempt / TRAINER_LOG)
    storage.publish(get_settings().artefacts_dir / "files" / file_id)
    for path in (get_settings().artefacts_dir / "models").iterdir():
        storage.publish(path)
    assert stored() == {f"jobs/{job_id}", "artefacts/models", "artefacts/files"}
    return job_id, model_id, file_id


def test_another_machine_deletes_all_of_it(machines, tmp_path, migrated_sqlite, monkeypatch):
    job_id, *_ = published_job(machines, tmp_path, migrated_sqlite, monkeypatch)
    machines.go_to("b")
    deletion.delete(job_id)
    assert stored() == {"artefacts/models", "artefacts/files"}
    assert list(verify()) == []


def test_results_go_from_the_store_too(machines, tmp_path, migrated_sqlite, monkeypatch):
    job_id, *_ = published_job(machines, tmp_path, migrated_sqlite, monkeypatch)
    machines.go_to("b")
    deletion.delete(job_id, results=Results.DELETE)
    assert stored() == set()
    assert list(verify()) == []


def test_what_a_killed_deletion_left_in_the_store_is_collected(machines, tmp_path, migrated_sqlite, monkeypatch):
    job_id, *_ = published_job(machines, tmp_path, migrated_sqlite, monkeypatch)
    machines.go_to("b")
    monkeypatch.setattr(deletion.Remains, "remove", lambda remains: None)  # as if it had died after the commit
    deletion.delete(job_id, results=Results.DELETE)
    assert len(stored()) == 3
    assert retention.collect_of_deleted_jobs(older_than_seconds=3600) == 0
    assert retention.collect_of_deleted_jobs(older_than_seconds=-60) == 1
    assert stored() == {"artefacts/models", "artefacts/files"}
    assert models.remove_strays(older_than=timedelta(days=1)) == []
    assert files.collect_leftovers(older_than_seconds=-60) == 0, "the clock of a store may be hours off: a day at least"
