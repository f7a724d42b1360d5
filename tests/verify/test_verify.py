"""Each thing that can be wrong is found, and nothing is where all is well."""

import os
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text, update

from app.clock import utc_now
from app.config import get_settings
from app.db import now, transaction
from app.file.models import File
from app.file.service import create_file
from app.file.upload import UploadPart
from app.job import events, lifecycle
from app.job.models import Attempt, Checkpoint, Job
from app.job.states import JobStatus
from app.manifest import committed_folder, read_manifest
from app.model.models import Model
from app.verify import verify
from app.verify.artefacts import STALE_SECONDS
from tests.job.conftest import insert_job, job
from tests.job.test_lifecycle import claim
from tests.stack.processes import eventually

__all__ = ["job"]


def kinds():
    return sorted(finding.kind for finding in verify())


def change(job_id, **values):
    with transaction() as session:
        session.execute(update(Job).where(Job.id == job_id).values(**values))


def sealed(path):
    with committed_folder(path) as folder:
        (folder / "model.safetensors").write_bytes(b"weights")
    return path


def trained(job_id, *ranges, status=JobStatus.SUCCEEDED, told):
    """A job with attempts that did these steps, each from the one behind the first number to the last."""
    with transaction() as session:
        for number, (first, last) in enumerate(ranges, start=1):
            session.add(
                Attempt(
                    job_id=job_id, number=number, token=number, worker_id="w", started_at=now(session),
                    ended_at=now(session), outcome="x", resumed_from_step=first, last_step=last,
                )
            )  # fmt: skip
    change(
        job_id,
        status=status,
        attempt=len(ranges),
        token=len(ranges),
        progress={"step": told},
        model_id="ft:x",
        finished_at=utc_now(),
    )


def test_nothing_is_wrong_with_jobs_that_go_their_way(database, settings_home):
    insert_job(priority=2)
    done, running = insert_job(), insert_job()
    for job_id in (None, done, running):
        current = claim().claim
        if job_id == done:
            with transaction() as session:
                lifecycle.fail(session, current, error={"code": "x", "message": "It failed."})
    trained(insert_job(), (0, 10), (6, 20), (20, 30), told=30)
    assert kinds() == []


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"status": "running"}, "running_without_claim"),
        ({"worker_id": "w", "lease_until": utc_now()}, "claimed_without_running"),
        ({"status": "cancelled"}, "end_without_time"),
        ({"finished_at": utc_now()}, "end_without_time"),
        ({"model_id": "ft:x"}, "model_without_success"),
        ({"status": "failed", "finished_at": utc_now()}, "error_without_failure"),
        ({"attempt": 1}, "attempts_missing"),
        ({"last_event_number": 7}, "events_with_gaps"),
    ],
)
def test_a_row_that_contradicts_itself_is_found(job, settings_home, values, code):
    assert kinds() == []
    change(job, **values)
    assert code in kinds()


def test_a_job_that_nobody_sees_to_is_found(job, settings_home):
    claim()
    change(job, lease_until=utc_now() - timedelta(hours=1))
    assert kinds() == ["stuck"]


def test_an_attempt_that_never_ended_is_found(job, settings_home):
    claim()
    change(job, status="queued", worker_id=None, lease_until=None)
    assert kinds() == ["attempt_open"]


def test_steps_that_were_skipped_or_never_done_are_found(database, settings_home):
    trained(insert_job(), (0, 10), (12, 30), told=30)
    assert kinds() == ["steps_skipped"]
    trained(insert_job(), (0, 10), (10, 20), told=30)
    assert kinds() == ["steps_missing", "steps_skipped"]


def test_an_event_that_is_gone_is_found(job, settings_home):
    with transaction() as session:
        event = events.append(session, job, "soon gone")
        session.flush()
        session.delete(event)
    assert kinds() == ["events_with_gaps"]


def test_artefacts_that_are_gone_or_changed_are_found(job, settings_home):
    settings = get_settings()
    uploaded = create_file([UploadPart(name="file", filename="a.jsonl", blocks=iter([b'{"text": "a", "label": 1}\n']))])
    model = sealed(settings.artefacts_dir / "models" / "m")
    saved = sealed(settings.jobs_dir / job / "attempt-1" / "checkpoints" / "step-1")
    with transaction() as session:
        session.add(
            Model(
                id="m", kind="registered", path="models/m", manifest_sha256=read_manifest(model).sha256,
                weights_sha256="0" * 64, size_bytes=7, config={}, metrics={}, created_at=utc_now(),
            )
        )  # fmt: skip
        session.add(
            Checkpoint(
                id="ftckpt-1", job_id=job, attempt=1, step=1, epoch=1, path=saved.relative_to(settings.jobs_dir).as_posix(),
                manifest_sha256=read_manifest(saved).sha256, size_bytes=7, metrics={}, created_at=utc_now(),
            )
        )  # fmt: skip
    assert kinds() == []
    (model / "model.safetensors").write_bytes(b"weightz")
    (saved / "model.safetensors").unlink()
    assert kinds() == ["artifact_corrupt"] * 2
    with transaction() as session:
        path = settings.artefacts_dir / session.get(File, uploaded.id).path
    path.write_bytes(path.read_bytes().replace(b"1", b"2"))
    assert kinds() == ["artifact_corrupt", "artifact_corrupt", "file_changed"]
    path.unlink()
    assert kinds() == ["artifact_corrupt", "artifact_corrupt", "file_missing"]
    quick = [finding.kind for finding in verify(thorough=False)]
    assert quick == ["file_missing", "artifact_corrupt"], "a quick look misses files, and does not read them"
    change(job, status="cancelled", finished_at=utc_now())
    assert kinds() == ["artifact_corrupt", "file_missing"], "checkpoints of a job that is over are needed by nobody"


def test_a_base_that_is_gone_or_changed_is_found_for_each_model_on_it(database, settings_home):
    settings = get_settings()
    base = read_manifest(sealed(settings.artefacts_dir / "bases" / "unnamed"))
    folder = settings.artefacts_dir / "bases" / base.weights_sha256()
    (settings.artefacts_dir / "bases" / "unnamed").rename(folder)
    with transaction() as session:
        for name in ("a", "b"):
            manifest = read_manifest(sealed(settings.artefacts_dir / "models" / name))
            session.add(
                Model(
                    id=name, kind="fine-tuned", path=f"models/{name}", manifest_sha256=manifest.sha256, weights_sha256="0" * 64,
                    size_bytes=7, config={}, metrics={}, created_at=utc_now(), base_sha256=base.weights_sha256(),
                )
            )  # fmt: skip
    assert kinds() == []
    (folder / "model.safetensors").write_bytes(b"weightz")
    assert [(finding.subject, finding.kind) for finding in verify()] == [("a", "base_corrupt"), ("b", "base_corrupt")]
    assert list(verify(thorough=False)) == []
    (folder / "model.safetensors").unlink()
    assert [finding.kind for finding in verify(thorough=False)] == ["base_corrupt"] * 2


def test_a_file_or_model_of_another_project_than_its_job_is_found(database, settings_home):
    job_id = insert_job(status=JobStatus.CANCELLED, finished_at=utc_now())
    manifest = read_manifest(sealed(get_settings().artefacts_dir / "models" / "a"))
    with transaction() as session:
        model = Model(
            id="a", kind="fine-tuned", path="models/a", manifest_sha256=manifest.sha256, weights_sha256="0" * 64,
            size_bytes=7, config={}, metrics={}, created_at=utc_now(), job_id=job_id,
        )  # fmt: skip
        session.add(model)
    assert kinds() == ["model_of_no_job"]
    with transaction() as session:
        session.execute(update(Model).values(project_id="proj-other"))
    assert kinds() == ["model_of_no_job", "owner_differs"]


@pytest.mark.parametrize("spec", ["{x", "{}"])
def test_a_row_that_cannot_be_read_is_found_and_hides_no_other(sqlite_home, spec):
    broken, contradictory = insert_job(), insert_job()
    with transaction() as session:
        session.execute(text("UPDATE jobs SET spec = :spec WHERE id = :id"), {"spec": spec, "id": broken})
    change(contradictory, status="cancelled")
    assert {(finding.subject, finding.kind) for finding in verify()} == {
        (broken, "row_unreadable"),
        (contradictory, "end_without_time"),
    }


def test_what_is_half_made_and_old_is_found(database, settings_home):
    folder = get_settings().artefacts_dir / "models" / ".tmp-x"
    folder.mkdir(parents=True)
    assert kinds() == []
    long_ago = time.time() - STALE_SECONDS - 60
    os.utime(folder, (long_ago, long_ago))
    assert kinds() == ["leftover"]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere processes are not listed")
def test_a_trainer_of_an_attempt_that_is_over_is_found(job, settings_home):
    claim()
    run_dir = get_settings().jobs_dir.resolve() / job / "attempt-1"
    code = "import time; time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code, "worker.trainer", str(run_dir)])
    try:
        assert eventually(lambda: Path(f"/proc/{process.pid}/cmdline").exists(), seconds=5)
        assert kinds() == []
        change(job, attempt=2)
        assert "orphan" in kinds()
    finally:
        process.kill()
        process.wait()
