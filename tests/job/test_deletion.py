"""A job that is over is deleted with all that is kept of it, and what it made goes or stays as was asked."""

import os
import subprocess
import sys
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from app import ids
from app.clock import utc_now
from app.config import get_settings
from app.db import reading, transaction
from app.errors import Conflict, NotFound
from app.file import service as files
from app.file.models import File
from app.job import deletion, idempotency, lifecycle, records, requests, retention, service
from app.job import repository as jobs
from app.job.deletion import Results
from app.job.models import Attempt, IdempotencyKey, Job, JobEvent, JobMistakes, MetricPoint
from app.job.states import JobStatus
from app.manifest import committed_folder, read_manifest
from app.model import service as models
from app.model.models import Model
from app.prediction import finding
from app.sweep import Sweep
from app.verify import verify
from tests.conftest import reset_process_state
from tests.job.conftest import insert_job
from tests.job.test_retention import attempt_folder, saved_checkpoint

OVER = {"finished_at": utc_now()}
KEPT_OF_A_JOB = (Attempt, JobEvent, MetricPoint, JobMistakes, IdempotencyKey)


def claim_next():
    with transaction() as session:
        return lifecycle.claim_next(session, worker_id="worker-a").claim


def finished_job():
    """A job that has run and succeeded, with something in every table and on the disk."""
    job_id = insert_job()
    claim = claim_next()
    folder = attempt_folder(job_id)
    saved_checkpoint(job_id, folder)
    (folder / "trainer.log").write_text("a line\n")
    model_id = f"ft:tiny:tunery::{job_id.partition('-')[2]}"
    with committed_folder(folder / "model") as sealed:
        (sealed / "config.json").write_text("{}")
        (sealed / "model.safetensors").write_bytes(b"weights")
    placed = models.place(folder / "model", model_id=model_id)
    with transaction() as session:
        point = {"job_id": job_id, "step": 1, "name": "train/loss", "epoch": 1.0, "value": 0.5, "created_at": utc_now()}
        records.upsert_metrics(session, [point])
        records.put_mistakes(session, job_id, split="test", rows_of="test", num_examples=1, num_wrong=1, mistakes=[])
        idempotency.take(session, f"key-{job_id}", request_sha256="0" * 64, job_id=job_id)
        jobs.attempt(session, claim).resumed_from_step = 0
        jobs.attempt(session, claim).last_step = 1
        models.publish(
            session, model_id=model_id, job_id=job_id, base_model="tiny", task="text-classification",
            folder=placed, metrics={},
        )  # fmt: skip
        file_id = store_file(session, job_id)
        lifecycle.succeed(
            session, claim, model_id=model_id, result_files=[file_id], progress={"step": 1}, best_metrics={"step": 1}
        )
    return job_id, model_id, file_id


def store_file(session, job_id):
    file_id = ids.new_id(ids.FILE)
    with committed_folder(get_settings().artefacts_dir / "files" / file_id) as folder:
        (folder / "data.jsonl").write_bytes(b'{"text": "a", "label": 1}\n')
    stored = read_manifest(get_settings().artefacts_dir / "files" / file_id).files["data.jsonl"]
    session.add(
        File(
            id=file_id, filename="data.jsonl", purpose="predictions", format="jsonl", size_bytes=stored["bytes"],
            sha256=stored["sha256"], path=f"files/{file_id}/data.jsonl", profile={}, job_id=job_id, created_at=utc_now(),
        )
    )  # fmt: skip
    return file_id


def rows_of(job_id):
    with reading() as session:
        return {
            table.__name__: session.scalar(select(func.count()).select_from(table).where(table.job_id == job_id))
            for table in KEPT_OF_A_JOB
        }


def folders():
    """What lies on the disk: run directories, models and files."""
    settings = get_settings()
    roots = (settings.jobs_dir, settings.artefacts_dir / "models", settings.artefacts_dir / "files")
    return [sorted(path.name for path in root.iterdir()) for root in roots]


def test_all_that_is_kept_of_it_goes_and_what_it_made_stays(database):
    job_id, model_id, file_id = finished_job()
    assert min(rows_of(job_id).values()) >= 1
    deletion.delete(job_id)
    with pytest.raises(NotFound):
        service.get_job(job_id)
    assert set(rows_of(job_id).values()) == {0}
    assert [len(names) for names in folders()] == [0, 1, 1]
    assert finding.resolve(model_id).id == finding.resolve(job_id).id == model_id
    assert models.get_model(model_id).job_id == job_id
    assert files.describe(file_id).job_id == job_id
    with pytest.raises(NotFound, match="was deleted") as refused:
        finding.resolve(f"{model_id}:ckpt-step-1")
    assert refused.value.code == "checkpoint_not_published"
    assert list(verify()) == []


def test_what_it_made_goes_too_if_asked(database):
    job_id, model_id, file_id = finished_job()
    other, *_ = finished_job()
    deletion.delete(job_id, results=Results.DELETE)
    assert [len(names) for names in folders()] == [1, 1, 1]
    for look in (models.get_model, finding.resolve, files.describe):
        with pytest.raises(NotFound):
            look(file_id if look is files.describe else model_id)
    assert service.get_job(other).model is not None
    assert list(verify()) == []


@pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.PAUSED, JobStatus.RUNNING])
def test_a_job_that_is_not_over_is_not_deleted(database, status):
    job_id = insert_job(status=status)
    with pytest.raises(Conflict) as refused:
        deletion.delete(job_id)
    assert (refused.value.code, refused.value.hint) == (
        "job_is_not_over",
        f"Cancel it first: POST /jobs/{job_id}/cancel.",
    )
    with reading() as session:
        assert jobs.get(session, job_id).status == status


def test_a_trial_goes_with_its_sweep_alone(database):
    job_id = insert_job(status=JobStatus.CANCELLED, study_id="sweep-" + "0" * 32, **OVER)
    with pytest.raises(Conflict) as refused:
        deletion.delete(job_id)
    assert refused.value.code == "job_is_a_trial"


@pytest.mark.parametrize("needed", ["model", "file"])
def test_nothing_goes_while_something_unfinished_needs_a_result(database, needed):
    job_id, model_id, file_id = finished_job()
    reads = model_id if needed == "model" else "tiny", file_id if needed == "file" else "file-" + "0" * 32
    user = insert_job(spec={"model": reads[0], "dataset": {"train": reads[1]}})
    with pytest.raises(Conflict) as refused:
        deletion.delete(job_id, results=Results.DELETE)
    assert refused.value.code == f"{needed}_in_use"
    assert user in refused.value.message
    assert service.get_job(job_id).model is not None
    assert [len(names) for names in folders()] == [1, 1, 1]
    requests.cancel(user)
    deletion.delete(job_id, results=Results.DELETE)
    assert [len(names) for names in folders()] == [0, 0, 0]


def test_an_attempt_that_comes_back_after_its_job_is_deleted_has_lost_it(database):
    job_id = insert_job()
    claim = claim_next()
    requests.cancel(job_id)
    with transaction() as session:
        lifecycle.cancelled(session, claim)
    deletion.delete(job_id)
    for write in (lifecycle.write, lifecycle.drained, lifecycle.cancelled):
        with pytest.raises(lifecycle.ClaimLost), transaction() as session:
            write(session, claim)
    with pytest.raises(lifecycle.ClaimLost), transaction() as session:
        lifecycle.crashed(session, claim, code="trainer_crashed", message="It died.")


def test_deleting_twice_says_that_there_is_no_such_job(database):
    job_id = insert_job(status=JobStatus.FAILED, **OVER)
    deletion.delete(job_id)
    with pytest.raises(NotFound):
        deletion.delete(job_id)


@pytest.mark.parametrize("results", list(Results))
def test_a_process_that_is_killed_between_rows_and_bytes_leaves_nothing_to_find_fault_with(
    sqlite_home, tmp_path, results
):
    job_id, *_ = finished_job()
    mark = tmp_path / "mark"
    killed = subprocess.run(
        [sys.executable, "-c", f"from app.job import deletion; deletion.delete({job_id!r}, results={results.value!r})"],
        env=os.environ | {"TUNERY_FAILPOINT": f"job.deleted@{mark}"},
        timeout=60,
        check=False,
    )
    assert (killed.returncode, mark.exists()) == (-9, True)
    with pytest.raises(NotFound):
        service.get_job(job_id)
    assert [len(names) for names in folders()] == [1, 1, 1]
    assert list(verify()) == []
    assert retention.collect_of_deleted_jobs(older_than_seconds=3600) == 0
    assert retention.collect_of_deleted_jobs(older_than_seconds=-1) == 1
    assert len(models.remove_strays(older_than=timedelta(microseconds=1))) == (results == Results.DELETE)
    assert files.collect_leftovers(older_than_seconds=-1) == (results == Results.DELETE)
    assert list(verify()) == []


def test_run_directories_of_jobs_that_are_there_are_no_leftovers(database):
    attempt_folder(insert_job(status=JobStatus.RUNNING))
    (get_settings().jobs_dir / "notes").mkdir()
    assert retention.collect_of_deleted_jobs(older_than_seconds=-1) == 0


def id_of(*, days_ago):
    return ids.least_at(ids.JOB, utc_now() - timedelta(days=days_ago))


def test_old_jobs_are_deleted_by_the_sweep_if_the_service_is_told_to(database, monkeypatch):
    ended = {name: utc_now() - timedelta(days=days) for name, days in {"long": 9, "lately": 3}.items()}
    old = insert_job(id=id_of(days_ago=10), status=JobStatus.SUCCEEDED, model_id="ft:gone", finished_at=ended["long"])
    long_running = insert_job(id=id_of(days_ago=11), status=JobStatus.FAILED, finished_at=ended["lately"])
    waiting = insert_job(id=id_of(days_ago=12))
    young = insert_job(status=JobStatus.CANCELLED, finished_at=utc_now())
    Sweep().once()
    assert service.get_job(old).id == old, "jobs are kept for ever unless somebody says otherwise"

    monkeypatch.setenv("TUNERY_KEEP_JOBS_SECONDS", str(7 * 24 * 3600))
    reset_process_state()
    Sweep().once()
    with reading() as session:
        assert jobs.existing_ids(session, [old, long_running, waiting, young]) == {long_running, waiting, young}


def test_a_round_deletes_a_portion_the_oldest_first(database, monkeypatch):
    monkeypatch.setenv("TUNERY_KEEP_JOBS_SECONDS", "0")
    reset_process_state()
    moment = utc_now() - timedelta(days=1)
    made = sorted(
        insert_job(id=f"{id_of(days_ago=2)[:-4]}{n:04x}", status=JobStatus.FAILED, finished_at=moment)
        for n in range(deletion.PORTION + 2)
    )
    assert deletion.delete_old() == deletion.PORTION
    with reading() as session:
        assert sorted(session.scalars(select(Job.id))) == made[-2:]
    assert (deletion.delete_old(), deletion.delete_old()) == (2, 0)


def test_models_of_deleted_jobs_are_deleted_like_others(database):
    job_id, model_id, _ = finished_job()
    deletion.delete(job_id)
    models.delete_model(model_id)
    with reading() as session:
        assert session.get(Model, model_id) is None
    with pytest.raises(NotFound):
        finding.resolve(job_id)
