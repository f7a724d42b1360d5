"""A server under measurement: started, waited for, held while others are measured, weighed, stopped. Linux only."""

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STOP_SECONDS = 40
_MAPPING = re.compile(r"^[0-9a-f]+-[0-9a-f]+ \S+ (?P<offset>\S+) (?P<device>\S+) (?P<inode>\d+) *(?P<path>.*)$")
_NOT_FILES = ("/dev/zero", "/dev/shm/", "/memfd:", "/SYSV")


@dataclass(frozen=True)
class Memory:
    """MB. ``alone`` counts pages of files whole, once for all processes that map them, and other pages by what is theirs of
    them (PSS): what the processes would take with nobody else there. ``pss`` divides pages of files as well, by everybody who
    maps them: of servers that share one torch, each seems lighter than it is."""

    alone: float
    pss: float


class Refused(ValueError):
    """The server is up and does not take such a request."""


class Server:
    """The processes that ``command`` becomes. ``log`` gets what they print."""

    def __init__(
        self, command: list[str], *, folder: Path, environment: Mapping[str, str], log: Path, port: int, path: str
    ) -> None:
        self.port, self.path, self.log = port, path, log
        self.started_at = time.perf_counter()
        with log.open("ab") as output:
            self.leader = subprocess.Popen(
                command, cwd=folder, env=dict(environment), stdout=output, stderr=output, start_new_session=True
            )

    def ask(self, body: Mapping[str, Any]) -> Any:
        """The answer; raises Refused, OSError, HTTPException or ValueError if there is none with status 200."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            connection.request("POST", self.path, json.dumps(body).encode(), {"Content-Type": "application/json"})
            response = connection.getresponse()
            content = response.read()
        if response.status != 200:
            kind = Refused if 400 <= response.status < 500 else ValueError
            raise kind(f"status {response.status}: {content[:300]!r}")
        return json.loads(content)

    def wait_for_answer(self, body: Mapping[str, Any], *, patience: float = 180) -> float:
        """Seconds from the start of the process until its first answer was there."""
        deadline = time.monotonic() + patience
        while True:
            try:
                self.ask(body)
            except (OSError, ValueError, http.client.HTTPException) as error:
                over = self.leader.poll() is not None or time.monotonic() > deadline
                if over or isinstance(error, Refused):
                    printed = self.log.read_text(errors="replace")[-3000:]
                    raise SystemExit(f"{self.log.stem} does not answer ({error!r}):\n{printed}") from error
                time.sleep(0.02)
            else:
                return time.perf_counter() - self.started_at

    def processes(self) -> list[int]:
        """The leader and all that descend from it, parents first."""
        children: dict[int, list[int]] = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):  # it has ended meanwhile
                parent = int(stat.read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(stat.parent.name))
        found = [self.leader.pid]
        for pid in found:
            found += children.get(pid, [])
        return found

    def hold(self) -> None:
        """Takes no more processor time until it is let go on: servers may poll while nobody asks them."""
        for pid in self.processes():
            _send(pid, signal.SIGSTOP)

    def go_on(self, body: Mapping[str, Any]) -> None:
        for pid in reversed(self.processes()):
            _send(pid, signal.SIGCONT)
        self.wait_for_answer(body)

    def memory(self, *, of: Iterable[str] | None = None) -> Memory:
        """Of the processes whose command line holds one of the texts ``of``, or of all."""
        pids = [pid for pid in self.processes() if of is None or any(text in _command_line(pid) for text in of)]
        return _memory(pids)

    def processor_seconds(self) -> float:
        """What its living processes have used so far."""
        return sum(_processor_seconds(pid) for pid in self.processes())

    def stop(self) -> None:
        if self.leader.poll() is not None:
            return
        before = {pid: _born(pid) for pid in self.processes()}
        for pid in reversed(before):
            _send(pid, signal.SIGCONT)
        self.leader.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.leader.wait(STOP_SECONDS)
        for pid, born in before.items():
            if born is not None and _born(pid) == born:
                _send(pid, signal.SIGKILL)
        self.leader.wait()


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _born(pid: int) -> str | None:
    """When the process began: a number may belong to another one by now. None when it is over."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] == "Z" else fields[19]
    return None


def _processor_seconds(pid: int) -> float:
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def machine_seconds() -> float:
    """Processor time that was used on the machine so far, or that its host took from it; of all cores together."""
    user, nice, system, _, _, interrupts, soft, steal = map(
        int, Path("/proc/stat").read_text().split("\n")[0].split()[1:9]
    )
    return (user + nice + system + interrupts + soft + steal) / os.sysconf("SC_CLK_TCK")


def _command_line(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


def _memory(pids: Iterable[int]) -> Memory:
    files: dict[tuple[str, ...], int] = {}
    others = pss = 0
    for pid in pids:
        for key, sizes in _mappings(pid):
            pss += sizes["Pss"]
            if key is None:
                others += sizes["Pss"]
            else:  # pages that were written to are the process's own
                others += sizes["Anonymous"]
                files[key] = max(files.get(key, 0), sizes["Rss"] - sizes["Anonymous"])
    return Memory(alone=(sum(files.values()) + others) * 1024 / 1e6, pss=pss * 1024 / 1e6)


def _mappings(pid: int) -> list[tuple[tuple[str, ...] | None, dict[str, int]]]:
    """Each mapping's sizes in KiB, and of a file which part of it that is."""
    found: list[tuple[tuple[str, ...] | None, dict[str, int]]] = []
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
            if mapping := _MAPPING.match(line):
                of_file = mapping["inode"] != "0" and not mapping["path"].startswith(_NOT_FILES)
                found.append((mapping.group("device", "inode", "offset") if of_file else None, {}))
            elif line.endswith(" kB"):
                name, _, size = line.partition(":")
                found[-1][1][name] = int(size.split()[0])
    return found
