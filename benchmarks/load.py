"""One level of load on one server of this machine, by clients that cost little: what benchmarks/predict.py asks with.

Reads what to do (``Load``, as JSON) from standard input and writes what came of it to standard output. Every client is one
connection that stays open and sends its next request when the last is answered. A text is in no two requests: a running
number of six digits stands in each.
"""

import asyncio
import json
import statistics
import sys
import time
from dataclasses import asdict, dataclass

DIGITS = 6
LAST_ANSWERS_SECONDS = 120


@dataclass(frozen=True)
class Load:
    port: int
    path: str
    bodies: list[tuple[str, str]]
    """What stands before the number and after it in each body; they are sent in turn."""
    first: int
    """The first running number."""
    clients: int
    warm_up: float
    """Seconds of the same load that are not counted, just before those that are."""
    seconds: float


@dataclass
class Found:
    """Answers that came within the seconds that are counted; errors of the warm-up too."""

    next: int = 0
    answers: int = 0
    seconds: float = 0.0
    errors: int = 0
    error: str = ""
    p50: float = 0.0
    p99: float = 0.0
    """Milliseconds from the first byte sent to the last one received."""
    client_ms: float = 0.0
    """Processor time of this process for a request."""


class Run:
    """The requests of all clients, and their answers."""

    def __init__(self, load: Load) -> None:
        self.found = Found(next=load.first, seconds=load.seconds)
        self.milliseconds: list[float] = []
        self.starts, self.ends = [], []
        for before, after in load.bodies:
            length = len(before.encode()) + DIGITS + len(after.encode())
            head = f"POST {load.path} HTTP/1.1\r\nHost: 127.0.0.1:{load.port}\r\nContent-Type: application/json\r\n"
            self.starts.append(f"{head}Content-Length: {length}\r\n\r\n{before}".encode())
            self.ends.append(after.encode())
        self.counts_from = time.perf_counter() + load.warm_up
        self.ends_at = self.counts_from + load.seconds

    def request(self) -> bytes:
        number = self.found.next
        self.found.next += 1
        if number >= 10**DIGITS:
            raise ValueError(f"there is no running number of {DIGITS} digits left")
        which = number % len(self.starts)
        return b"%s%06d%s" % (self.starts[which], number, self.ends[which])

    def answered(self, *, sent_at: float, now: float) -> None:
        if self.counts_from <= now <= self.ends_at:
            self.milliseconds.append(1000 * (now - sent_at))

    def failed(self, reason: str) -> None:
        self.found.errors += 1
        self.found.error = self.found.error or reason


class Client(asyncio.Protocol):
    """``over`` is set when the last request has its answer, or the connection is gone."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.over = asyncio.get_running_loop().create_future()
        self.received = b""
        self.sent_at: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.send()

    def send(self) -> None:
        self.sent_at = time.perf_counter()
        self.transport.write(self.run.request())

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, found, body = self.received.partition(b"\r\n\r\n")
        if not found or len(body) < length_of(head):
            return
        now = time.perf_counter()
        if head.startswith(b"HTTP/1.1 200") and b'"label"' in body:
            self.run.answered(sent_at=self.sent_at, now=now)
        else:
            self.run.failed((head.split(b"\r\n")[0] + b": " + body[:300]).decode(errors="replace"))
        self.received, self.sent_at = b"", None
        if now < self.run.ends_at:
            self.send()
        else:
            self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if self.sent_at is not None:
            self.run.failed(f"the connection was closed before the answer: {error}")
        if not self.over.done():
            self.over.set_result(None)


def length_of(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line[15:])
    raise ValueError(f"an answer without its length: {head!r}")


async def put(load: Load) -> Found:
    began = time.process_time()
    run = Run(load)
    loop = asyncio.get_running_loop()
    clients = [
        (await loop.create_connection(lambda: Client(run), "127.0.0.1", load.port))[1] for _ in range(load.clients)
    ]
    patience = load.warm_up + load.seconds + LAST_ANSWERS_SECONDS
    await asyncio.wait_for(asyncio.gather(*(client.over for client in clients)), patience)
    times, found = run.milliseconds, run.found
    found.client_ms = 1000 * (time.process_time() - began) / (found.next - load.first)
    found.answers = len(times)
    if len(times) > 1:
        found.p50, found.p99 = statistics.median(times), statistics.quantiles(times, n=100, method="inclusive")[98]
    return found


def main() -> None:
    load = Load(**json.load(sys.stdin))
    try:
        import uvloop
    except ImportError:
        found = asyncio.run(put(load))
    else:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            found = runner.run(put(load))
    json.dump(asdict(found), sys.stdout)


if __name__ == "__main__":
    main()
