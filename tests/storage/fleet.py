"""Machines that share a database, a broker and an S3 server, and no folder: an API, workers and predictors with homes of their own."""

import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.parts import Api, Parts
from tests.faults.valkey import own_valkey
from tests.postgres import PostgresServer
from tests.road.conftest import assert_all_is_well
from tests.storage.seaweed import S3Server

QUICK = {"TUNERY_POLL_SECONDS": "0.5", "TUNERY_SWEEP_SECONDS": "0.5", "TUNERY_LEASE_SECONDS": "10"}
"""All machines are one host, where a dead worker is found by its process: the lease need only outlast what a busy machine stalls."""


class Machine:
    """One home, and what runs there."""

    def __init__(self, folder: Path, name: str, settings: dict[str, str]) -> None:
        self.name = name
        self.parts = Parts(folder / name, **settings)
        self.home = self.parts.home

    def worker(self) -> subprocess.Popen[bytes]:
        return self.parts.start(["-m", "worker.main", "--home", str(self.home)])

    def predictor(self, address: str) -> subprocess.Popen[bytes]:
        return self.parts.start(["-m", "worker.predictor", "--home", str(self.home), "--bind", address])

    def jobs(self) -> set[str]:
        """Those that had an attempt here."""
        return {path.parent.parent.name for path in self.home.glob("jobs/*/*/run.json")}


class Fleet:
    """``api`` is asked; ``settings`` are what all machines have in common."""

    def __init__(self, folder: Path, settings: dict[str, str], *, num_predictors: int) -> None:
        self.folder = folder
        sockets = Path(tempfile.mkdtemp(prefix="tunery-fleet-", dir="/tmp"))  # a short path: it holds sockets
        self._sockets = sockets
        self.addresses = [f"ipc://{sockets}/{number}" for number in range(num_predictors)]
        self.settings = settings | QUICK | {"TUNERY_PREDICTOR_URL": ",".join(self.addresses)}
        self.machines: list[Machine] = []
        self.predictors: list[subprocess.Popen[bytes]] = []
        first = self.add("api")
        first.parts.migrate()
        self.api = Api(first.parts)

    def add(self, name: str, **settings: str) -> Machine:
        machine = Machine(self.folder, name, self.settings | settings)
        self.machines.append(machine)
        return machine

    def start_predictors(self) -> None:
        for number, address in enumerate(self.addresses):
            self.predictors.append(self.add(f"predictor-{number}").predictor(address))

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """A worker's trainer sees that, and ends."""
        process.send_signal(signal.SIGKILL)
        process.wait()

    def verify(self) -> None:
        """From a machine that has a copy of nothing."""
        home = self.folder / "verifier"
        home.mkdir(exist_ok=True)
        assert_all_is_well(home, **self.settings)

    def clean_up(self) -> None:
        for machine in self.machines:
            machine.parts.clean_up()
        shutil.rmtree(self._sockets, ignore_errors=True)

    def log(self) -> str:
        return "\n".join(f"== {machine.name}\n{machine.parts.log()[-2000:]}" for machine in self.machines)


@contextmanager
def running(
    folder: Path, encoder: Path, *, postgres: PostgresServer, s3: S3Server, num_predictors: int = 1
) -> Iterator[Fleet]:
    """With an API, the broker and the tiny encoder. All is verified at the end."""
    with own_valkey() as valkey:
        settings = s3.environment | {
            "TUNERY_DATABASE_URL": postgres.create_database(template="template_tunery"),
            "TUNERY_REDIS_URL": valkey.url,
            "TUNERY_ARTEFACTS_URL": s3.new_place(),
        }
        fleet = None
        try:
            fleet = Fleet(folder, settings, num_predictors=num_predictors)
            fleet.api.register("tiny-bert", encoder)
            yield fleet
            fleet.verify()
        finally:
            if fleet is not None:
                fleet.clean_up()
