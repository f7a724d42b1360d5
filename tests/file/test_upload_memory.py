"""The memory of the API stays flat whatever is uploaded: measured on a real server process."""

import gzip
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pyarrow.parquet as pq
import pytest

MIB = 2**20
ALLOWED_GROWTH = 64 * MIB

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the memory from /proc")


@dataclass
class Server:
    url: str
    pid: int
    home: Path

    def forget_peak(self) -> int:
        """Start a new peak; returns what is in use now."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")
        return self.peak_bytes()

    def peak_bytes(self) -> int:
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) * 1024

    def upload(self, filename: str, blocks: Iterator[bytes]) -> httpx2.Response:
        def body() -> Iterator[bytes]:
            yield f'--cut\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n\r\n'.encode()
            yield from blocks
            yield b"\r\n--cut--\r\n"

        headers = {"content-type": "multipart/form-data; boundary=cut"}
        return httpx2.post(f"{self.url}/files", content=body(), headers=headers, timeout=120)


@pytest.fixture(scope="module")
def server(migrated_sqlite, tmp_path_factory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("home")
    shutil.copy(migrated_sqlite, home / "tunery.db")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "--factory",
        "app.main:create_app",
        "--port",
        str(port),
        "--log-level",
        "warning",
    ]
    process = subprocess.Popen(command, env=os.environ | {"TUNERY_HOME": str(home)})
    try:
        server = Server(url=f"http://127.0.0.1:{port}", pid=process.pid, home=home)
        deadline = time.monotonic() + 30
        while True:
            try:
                httpx2.get(f"{server.url}/files")
                break
            except httpx2.TransportError:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
        warm_up = server.upload("a.jsonl", iter([b'{"text": "a", "label": 1}\n' * 50_000]))
        assert warm_up.status_code == 201
        yield server
    finally:
        process.terminate()
        process.wait(20)


def test_a_line_of_100_mb_is_refused_without_being_held(server):
    before = server.forget_peak()
    answer = server.upload("a.jsonl", (b"x" * MIB for _ in range(100)))
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "row_too_long")
    assert server.peak_bytes() - before < ALLOWED_GROWTH


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_a_file_of_100_mb_is_stored_with_flat_memory(server, kind):
    before = server.forget_peak()
    text = b"A sentence of some length, as reviews and comments are. " * 36
    row = {"jsonl": b'{"text": "%d %s", "label": %d}\n', "csv": b'"%d %s",%d\n'}[kind]

    def blocks() -> Iterator[bytes]:
        yield b"text,label\n" if kind == "csv" else b""
        for start in range(0, 50_000, 500):
            yield b"".join(row % (number, text, number % 7) for number in range(start, start + 500))

    answer = server.upload(f"a.{kind}", blocks())
    assert answer.status_code == 201
    file = answer.json()
    assert (file["bytes"] > 100_000_000, file["num_rows"]) == (True, 50_000)
    assert server.peak_bytes() - before < ALLOWED_GROWTH


@pytest.fixture(scope="module")
def bomb(tmp_path_factory) -> Path:
    """Of 256 MiB, made by a process of its own."""
    path = tmp_path_factory.mktemp("bomb") / "bomb.parquet"
    code = (
        "import sys, pyarrow as pa, pyarrow.parquet as pq\n"
        "table = pa.table({'text': ['a' * 2**28, 'b'], 'label': [0, 1]})\n"
        "pq.write_table(table, sys.argv[1], compression='zstd', use_dictionary=False, write_statistics=False)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
    return path


@pytest.mark.parametrize("lies", [False, True], ids=["as its footer says", "with a footer that lies"])
def test_a_parquet_file_that_unpacks_to_256_mb_is_refused_with_flat_memory(server, bomb, lies):
    content = bomb.read_bytes()
    if lies:
        size = pq.ParquetFile(bomb).metadata.row_group(0).column(0).total_uncompressed_size
        content = content.replace(zigzag(size), zigzag(size - 2**28 + 2**20).ljust(len(zigzag(size)), b"\0"))
        assert content != bomb.read_bytes()
    assert len(content) < MIB
    before = server.forget_peak()
    answer = server.upload("bomb.parquet", iter([content]))
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] in {"parquet_too_dense", "not_parquet"}
    assert server.peak_bytes() - before < ALLOWED_GROWTH


def zigzag(number: int) -> bytes:
    """As Thrift writes a whole number that is not negative."""
    number, out = number * 2, b""
    while number >= 128:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
def test_a_packed_body_is_not_unpacked(server, encoding):
    body = gzip.compress(b'{"model": "' + b"a" * 100 * MIB + b'"}')
    before = server.forget_peak()
    headers = {"content-type": "application/json", "content-encoding": encoding}
    answer = httpx2.post(f"{server.url}/jobs", content=body, headers=headers)
    assert answer.status_code == 422
    assert server.upload("a.jsonl", iter([body])).json()["error"]["code"] == "archive_not_supported"
    assert server.peak_bytes() - before < ALLOWED_GROWTH


def test_a_client_that_goes_away_leaves_nothing(server):
    folder = server.home / "artefacts" / "files"
    stored = set(folder.iterdir())

    def interrupted() -> Iterator[bytes]:
        yield b'{"text": "a", "label": 1}\n' * 100_000
        deadline = time.monotonic() + 10
        while set(folder.iterdir()) == stored:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        raise InterruptedError

    with pytest.raises(InterruptedError):
        server.upload("a.jsonl", interrupted())
    deadline = time.monotonic() + 10
    while set(folder.iterdir()) != stored and time.monotonic() < deadline:
        time.sleep(0.05)
    assert set(folder.iterdir()) == stored
