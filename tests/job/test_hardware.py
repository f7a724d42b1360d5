"""Workers claim only what they can run, and a job that none can run says so; on SQLite and PostgreSQL."""

import itertools
from datetime import timedelta

import pytest
from pydantic import ValidationError

from app.caller import Caller, acting_for
from app.config import get_settings
from app.db import now, transaction
from app.job import hardware, lifecycle, service, workers
from app.job.acceptance import NewJob, accept
from app.job.hardware import Offer, Takes
from app.job.models import WorkerPresence
from app.spec.job import JobSpec
from app.spec.kinds import JobKind
from app.spec.resources import Asked, ResourcesSpec
from tests.job.conftest import insert_job
from worker import tasks
from worker.devices import Devices

GB = 10**9
SMALL, LARGE = 24 * GB, 80 * GB


def asking(**resources):
    stored = ResourcesSpec.model_validate(resources).model_dump(exclude_unset=True)
    return {"model": "tiny", "dataset": {"train": "file-" + "0" * 32}, "resources": stored}


def submit(**resources):
    spec = JobSpec.model_validate(asking(**resources) | {"training": {"per_device_train_batch_size": 64}})
    return accept(spec, lambda: NewJob(kind=JobKind.TRAINING, spec=spec, requested=spec)).job


def present(name, *, gpus=(), takes="any"):
    with transaction() as session:
        moment = now(session)
        session.add(
            WorkerPresence(id=name, host="h", pid=1, process_started=1, slots=1, takes=takes, started_at=moment, seen_at=moment,
                           gpus=[{"name": "GPU", "memory_bytes": memory} for memory in gpus])
        )  # fmt: skip


@pytest.mark.parametrize(
    ("told", "read"),
    [
        ({"gpus": 2}, {"gpus": 2, "processes": 2}),
        ({"gpus": 2, "processes": 2}, {"gpus": 2, "processes": 2}),
        ({"gpus": 0, "processes": 4}, {"gpus": 0, "processes": 4}),
        ({"gpu_memory": "24GB"}, {"gpu_memory": 24 * GB, "gpus": None}),
        ({"gpu_memory": "1.5 GiB"}, {"gpu_memory": 3 * 2**29}),
        ({"gpu_memory": 5}, {"gpu_memory": 5}),
    ],
)
def test_resources_are_read(told, read):
    resources = ResourcesSpec.model_validate(told)
    assert {name: getattr(resources, name) for name in read} == read
    assert ResourcesSpec.model_validate(resources.model_dump()) == resources, "it is read again from the database"


@pytest.mark.parametrize(
    "told", [{"gpus": 2, "processes": 3}, {"gpus": 0, "gpu_memory": 1}, {"gpu_memory": "24"}, {"gpu_memory": "9e9GB"},
             {"gpus": 65}, {"gpus": True}, {"gpu_memory": 0}]
)  # fmt: skip
def test_resources_that_nobody_has_are_refused(told):
    with pytest.raises(ValidationError):
        ResourcesSpec.model_validate(told)


OFFERS = [
    Offer(gpus=gpus, on_gpus=on_gpus, takes=takes)
    for takes in Takes
    for gpus, on_gpus in (([], False), ([], True), ([0], True), ([SMALL], True), ([SMALL, LARGE, LARGE], True))
    if takes != Takes.CPU or not on_gpus
]
ASKED = [
    {"processes": 1}, {"processes": 3}, {"gpus": 0}, {"gpus": 1}, {"gpus": 2, "processes": 2}, {"gpu_memory": SMALL},
    {"gpu_memory": LARGE, "gpus": 2, "processes": 2}, {"gpu_memory": LARGE, "gpus": 3, "processes": 3},
]  # fmt: skip


def test_the_database_gives_a_worker_just_what_it_can_run(database):
    jobs = {insert_job(spec=asking(**resources)): Asked.by(asking(**resources)) for resources in ASKED}
    counts = []
    for offer in OFFERS:
        claimed = set()
        with transaction() as session:
            while (work := lifecycle.claim_next(session, worker_id="worker-a", offer=offer)) is not None:
                claimed.add(work.claim.job_id)
            session.rollback()
        assert claimed == {job for job, asked in jobs.items() if offer.fits(asked)}, offer
        counts.append(len(claimed))
    assert len(set(counts)) > 4


def test_a_worker_without_gpus_leaves_jobs_that_ask_for_them(database, tmp_path, monkeypatch):
    monkeypatch.setattr(tasks, "_told", set())
    on_gpus, anywhere = insert_job(spec=asking(gpus=1)), insert_job(spec=asking(processes=2))
    work, gpus = tasks._claim(Devices([], folder=tmp_path))
    assert (work.claim.job_id, gpus) == (anywhere, None)
    assert tasks._claim(Devices([], folder=tmp_path))[0] is None
    work, gpus = tasks._claim(Devices(["GPU-a"], folder=tmp_path))
    assert (work.claim.job_id, gpus.names) == (on_gpus, ["GPU-a"])


def test_a_job_gets_the_smallest_gpus_that_will_do_and_one_without_gpus_gets_none(database, tmp_path, monkeypatch):
    monkeypatch.setattr(tasks, "_told", set())
    machine = Devices(["a", "b", "c"], folder=tmp_path, memory={"a": LARGE, "b": SMALL, "c": LARGE})
    wants = [{"gpu_memory": "40GB"}, {}, {"gpus": 0}, {"gpus": 2}, {"gpu_memory": "24GB"}]
    jobs = [insert_job(spec=asking(**resources)) for resources in wants]
    got = [tasks._claim(machine) for _ in range(4)]
    lent = [(work.claim.job_id, gpus.names, tasks._names(work, gpus)) for work, gpus in got]
    assert lent == [
        (jobs[0], ["a"], ["a"]), (jobs[1], ["b"], ["b"]), (jobs[2], [], []), (jobs[4], ["c"], ["c"])
    ]  # fmt: skip
    assert tasks._claim(machine)[0] is None
    for _, gpus in got:
        gpus.give_back()
    assert tasks._claim(machine)[0].claim.job_id == jobs[3]


@pytest.mark.parametrize(("takes", "taken"), [("gpu", [1]), ("any", [0, 1, 2]), ("cpu", [0, 2])])
def test_workers_can_be_kept_for_jobs_that_ask_for_gpus_or_for_others(database, tmp_path, monkeypatch, takes, taken):
    monkeypatch.setattr(tasks, "_told", set())
    monkeypatch.setenv("TUNERY_WORKER_TAKES", takes)
    get_settings.cache_clear()
    jobs = [insert_job(spec=asking(**resources)) for resources in ({}, {"gpus": 1}, {"gpus": 0})]
    machine = Devices([] if takes == "cpu" else ["a", "b"], folder=tmp_path)
    work = list(itertools.takewhile(lambda found: found[0] is not None, (tasks._claim(machine) for _ in range(4))))
    assert [found.claim.job_id for found, _ in work] == [jobs[number] for number in taken]
    if takes == "cpu":
        assert [tasks._names(found, gpus) for found, gpus in work] == [[], []], "its trainers see no GPU"


def test_a_job_that_no_worker_can_run_is_accepted_with_a_warning_and_says_what_it_waits_for(database):
    present("worker-cpu")
    present("worker-gpu", gpus=[SMALL])
    job = submit(gpus=2)
    assert [(warning.code, warning.message) for warning in job.warnings] == [
        ("no_worker_fits", "No worker has 2 GPUs. The job waits until there is one.")
    ]
    assert service.get_job(job.id).queue.waits_for == "No worker has 2 GPUs."
    assert (
        service.list_jobs(status=None, metadata={}, after=None, limit=5).data[0].queue.waits_for
        == "No worker has 2 GPUs."
    )
    assert submit(gpu_memory="40GB").warnings[0].message.startswith("No worker has a GPU of 40 GB.")
    assert "asks for 2 workers, each with a GPU, and 1 such is present" in submit(gpus=1, nodes=2).warnings[0].message
    present("worker-new", gpus=[LARGE, LARGE])
    assert service.get_job(job.id).queue.waits_for is None
    assert submit(gpus=2, gpu_memory="40GB").warnings == []


def test_a_job_that_asks_for_nothing_is_accepted_without_a_word(database):
    job = submit()
    assert job.warnings == []
    assert service.get_job(job.id).queue.waits_for == "No worker is present."
    present("worker-kept", gpus=[SMALL], takes="gpu")
    assert service.get_job(job.id).queue.waits_for == "No worker has room for a job that asks for no GPUs."
    present("worker-cpu", takes="cpu")
    assert service.get_job(job.id).queue.waits_for is None


def test_workers_tell_what_they_have_and_what_they_run(database):
    present("worker-a", gpus=[SMALL, None])
    present("worker-b", takes="cpu")
    mine, other = insert_job(), insert_job(project_id="other")
    with transaction() as session:
        for _ in range(2):
            lifecycle.claim_next(session, worker_id="worker-a")
    first, second = workers.list_workers().data
    assert [(gpu.name, gpu.memory_bytes) for gpu in first.gpus] == [("GPU", SMALL), ("GPU", None)]
    assert (first.num_running, set(first.jobs)) == (2, {mine, other})
    assert (second.takes, second.gpus, second.num_running) == ("cpu", [], 0)
    with acting_for(Caller(project_id="other")):
        [seen, _] = workers.list_workers().data
        assert (seen.num_running, seen.jobs) == (2, [other]), "jobs of others are counted, not named"
    with transaction() as session:
        session.get_one(WorkerPresence, "worker-b").seen_at = now(session) - timedelta(minutes=5)
    assert [worker.id for worker in workers.list_workers().data] == ["worker-a"]


def test_what_a_worker_of_an_older_version_told_is_enough(database):
    present("worker-old", gpus=[None])
    job = submit(gpus=1)
    assert job.warnings == []
    assert hardware.what_is_missing(Asked.by(job.spec.model_dump()), []) == "No worker has a GPU."
