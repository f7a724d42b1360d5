"""A job of two nodes, run by two workers of one home: their deaths, and what is asked of the job, through the whole service."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.road.conftest import Service, assert_all_is_well
from tests.road.test_processes import HANG_SECONDS, TRAINING
from tests.road.tiny import reviews
from tests.stack.processes import ROOT, Up, eventually

LONG = TRAINING | {"num_train_epochs": 4000}
QUICK = {"TUNERY_POLL_SECONDS": "1", "TUNERY_STOP_SECONDS": "5"}


class Worker:
    """A second worker of a home, as on another machine that shares it."""

    def __init__(self, up: Up, **settings: str) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TUNERY_")}
        environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TUNERY_HOME": str(up.home)}
        self.log_path = up.home.parent / "second-worker.log"
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "worker.main", "--home", str(up.home)],
                env=environment | QUICK | settings,
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=40)


class Workers:
    """A service with the worker of ``tunery up``, which is started again when it dies, and others that were started by hand."""

    def __init__(self, service: Service, settings: dict[str, str]) -> None:
        self.service, self.settings = service, settings
        self.added: list[Worker] = []

    def add(self) -> None:
        self.added.append(Worker(self.service.up, **self.settings))

    def submit(self, **spec) -> str:
        data = {"train": self.service.upload(reviews(240, seed=1))}
        return self.service.submit(**{"model": "tiny-bert", "dataset": data, "training": TRAINING} | spec)

    def trains(self, job_id: str, *, attempt: int, past: int = 0) -> int:
        """The step at which that attempt of the job is, once it has trained past that one, and a little."""
        job = self.service.wait_for(
            job_id,
            lambda job: job["attempt"] == attempt and job["phase"] == "training" and job["progress"]["step"] > past + 5,
        )
        return job["progress"]["step"]

    def trainers(self, job_id: str) -> dict[int, str]:
        return {pid: line for pid, line in self.service.up.children().items() if f"{job_id}/attempt" in line}

    def workers_of(self, job_id: str) -> tuple[int, int]:
        """Process numbers of the worker that leads, and of the other."""
        agents = {pid: line for pid, line in self.trainers(job_id).items() if not line.startswith("trainer, rank")}
        leader, follower = sorted(agents, key=lambda pid: "/node-1" in agents[pid])
        return _parent(leader), _parent(follower)

    def leaves(self, job_id: str, *, attempt: int) -> None:
        """Wait until that attempt is over, and see that no process of it is left."""
        folder = f"{job_id}/attempt-{attempt}"
        over = lambda job: job["status"] != "running" or job["attempt"] > attempt  # noqa: E731 - a condition
        self.service.wait_for(job_id, over, seconds=HANG_SECONDS)
        assert eventually(lambda: not any(folder in line for line in self.trainers(job_id).values()), seconds=5)

    def ends(self, worker: int) -> None:
        """Wait for that."""
        if worker in {added.process.pid for added in self.added}:
            next(added for added in self.added if added.process.pid == worker).process.wait(timeout=20)
        else:
            assert eventually(lambda: worker not in self.service.up.children(), seconds=20)

    def replace_ended(self) -> None:
        """As many as before; that of ``tunery up`` comes back by itself."""
        for worker in list(self.added):
            if worker.process.poll() is not None:
                self.added.remove(worker)
                self.add()

    def data_of_events(self, job_id: str) -> list[dict]:
        events = self.service.http.get(f"/jobs/{job_id}/events", params={"limit": 1000}).json()["data"]
        return [event["data"] for event in events if event["data"]]


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@contextmanager
def running(home: Path, encoder: Path, **settings: str) -> Iterator[Workers]:
    up = Up(home, **QUICK, **settings)
    workers = None
    try:
        service = Service(up, up.wait_ready())
        service.register("tiny-bert", encoder)
        workers = Workers(service, settings)
        yield workers
        for worker in workers.added:
            assert worker.end() == 0, worker.log_path.read_text()[-4000:]
    finally:
        for worker in workers.added if workers else []:
            worker.process.kill()
            worker.process.wait()
        up.clean_up()


@pytest.fixture(scope="module")
def without_dropout(encoder, tmp_path_factory) -> Path:
    """Whose masks depend on how a batch is divided."""
    folder = shutil.copytree(encoder, tmp_path_factory.mktemp("models") / "no-dropout")
    config = json.loads((folder / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def curves(service: Service, job_id: str) -> dict[tuple[str, int], float]:
    page = service.http.get(f"/jobs/{job_id}/metrics", params={"limit": 1000}).json()
    return {(point["name"], point["step"]): point["value"] for point in page["data"]}


@pytest.mark.long
def test_a_job_waits_for_its_workers_without_holding_up_others_and_has_the_result_of_one(
    postgres_server, without_dropout, tmp_path, monkeypatch
):
    """On PostgreSQL, with two processes on each of two nodes."""
    url = postgres_server.create_database(template="template_tunery")
    with running(tmp_path / "home", without_dropout, TUNERY_DATABASE_URL=url) as workers:
        service, training = workers.service, TRAINING | {"num_train_epochs": 4, "bf16": False, "logging_steps": 10}
        together = workers.submit(training=training, resources={"processes": 2, "nodes": 2})
        alone = workers.submit(training=training)
        assert service.wait(alone)["status"] == "succeeded"
        waiting = service.job(together)
        assert (waiting["status"], waiting["attempt"]) == ("queued", 0)
        assert [data["missing"] for data in workers.data_of_events(together) if "missing" in data] == [1]
        workers.add()
        job = service.wait(together)
        assert job["status"] == "succeeded", (job["error"], service.logs(together))
        assert job["attempt"] == 1
        told = [service.http.get(f"/jobs/{together}/logs", params={"node": node}).json()["lines"] for node in range(2)]
        assert all(told)
        assert told[0] != told[1]
        assert job["spec"]["resources"] == {
            "gpus": None,
            "gpu_memory": None,
            "processes": 2,
            "nodes": 2,
            "fsdp": False,
        }
        ours, theirs = curves(service, together), curves(service, alone)
        assert len(ours) > 10
        assert ours == pytest.approx({place: theirs[place] for place in ours}, abs=1e-4)
        assert ours.keys() == theirs.keys()
        answer = service.http.post("/predict", json={"model": together, "inputs": "this film seemed good and fine"})
        assert answer.json()["predictions"][0][0]["label"] == "praise"
        monkeypatch.setenv("TUNERY_DATABASE_URL", url)
        assert_all_is_well(service.up.home)


@pytest.mark.long
def test_the_life_of_a_job_of_two_nodes(encoder, tmp_path):
    """On SQLite: a worker is killed, a rank is killed, a worker is stopped, the one that leads is killed, the job is cancelled."""
    with running(tmp_path / "home", encoder) as workers:
        workers.add()
        service, job_id = workers.service, workers.submit(training=LONG, resources={"nodes": 2})

        workers.trains(job_id, attempt=1, past=50)
        os.kill(workers.workers_of(job_id)[1], signal.SIGKILL)
        workers.leaves(job_id, attempt=1)
        workers.replace_ended()

        workers.trains(job_id, attempt=2, past=50)
        [rank] = [pid for pid, line in workers.trainers(job_id).items() if line.startswith("trainer, rank 1 of 2")]
        os.kill(rank, signal.SIGKILL)
        workers.leaves(job_id, attempt=2)

        drained_at = workers.trains(job_id, attempt=3, past=50)
        stopped = workers.workers_of(job_id)[1]
        os.kill(stopped, signal.SIGTERM)
        workers.leaves(job_id, attempt=3)
        workers.ends(stopped)
        workers.replace_ended()

        workers.trains(job_id, attempt=4, past=drained_at)
        os.kill(workers.workers_of(job_id)[0], signal.SIGKILL)
        workers.leaves(job_id, attempt=4)
        workers.replace_ended()

        workers.trains(job_id, attempt=5, past=drained_at)
        service.http.post(f"/jobs/{job_id}/cancel").raise_for_status()
        assert service.wait(job_id, seconds=HANG_SECONDS)["status"] == "cancelled"
        assert not workers.trainers(job_id)

        told = workers.data_of_events(job_id)
        assert [data["losses"] for data in told if "losses" in data] == [1, 2]
        assert [(data["crashes"], data["code"]) for data in told if "crashes" in data] == [(1, "out_of_memory")]
        resumed = [data["resumed_from_step"] for data in told if "resumed_from_step" in data]
        assert 0 == resumed[0] < resumed[1] <= resumed[2]
        assert [step % TRAINING["save_steps"] for step in resumed[:3]] == [0, 0, 0], "from a scheduled checkpoint"
        assert drained_at <= resumed[3] <= resumed[4], "from where it was stopped"
        assert len(resumed) == 5
        assert_all_is_well(service.up.home)
