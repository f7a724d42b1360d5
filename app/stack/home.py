"""The folders of a home, and the lock that lets one ``tunery up`` at a time own it."""

import fcntl
import json
import os
import stat
import time
from pathlib import Path
from typing import Final

from app.config import Settings
from app.stack.errors import StartError

LOCK_PATIENCE_SECONDS: Final = 2.0
"""A killed owner's lock is free at once, a stopping one's within its last moments."""


def prepare_folders(settings: Settings) -> None:
    """Make the folders every process relies on. Raises StartError when they cannot be made or are not ours."""
    try:
        settings.home_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (settings.artefacts_dir, settings.jobs_dir, settings.cache_dir):
            folder.mkdir(parents=True, exist_ok=True)
        settings.run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StartError(
            f"cannot make the folder {error.filename}: {error.strerror}",
            hint="choose another with --home or TUNERY_HOME",
        ) from error
    _check_private(settings.run_dir)


def _check_private(run_dir: Path) -> None:
    """Sockets are only as safe as their folder, which may lie in the shared temporary directory."""
    found = run_dir.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise StartError(
            f"{run_dir} belongs to somebody else, so sockets in it are not safe",
            hint="choose a --home with a shorter path",
        )
    if stat.S_IMODE(found.st_mode) & 0o077:
        run_dir.chmod(0o700)


class HomeLock:
    """``<run_dir>/up.lock``: held while a supervisor lives, whatever way it dies. Its text says who holds it."""

    def __init__(self, settings: Settings) -> None:
        self.path = settings.run_dir / "up.lock"
        self.home = settings.home_dir
        self._descriptor: int | None = None
        self.previous_port: int | None = None
        """Port of an owner that did not stop in order; unset after an orderly one."""

    def acquire(self) -> None:
        """Raises StartError, naming the owner, when another supervisor of this home is alive."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + LOCK_PATIENCE_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    owner = _owner(descriptor)
                    os.close(descriptor)
                    raise StartError(
                        f"the home {self.home} is in use by `tunery up` with process id {owner.get('pid', 'unknown')}"
                        f" at {owner.get('url', 'an unknown address')}",
                        hint="stop that one first, or give this one another --home and --port",
                    ) from None
                time.sleep(0.1)
        self._descriptor = descriptor
        port = _owner(descriptor).get("port")
        self.previous_port = port if isinstance(port, int) else None

    def describe(self, *, url: str, port: int) -> None:
        """Write down who holds the lock, for the error message of the next one."""
        self._write(json.dumps({"pid": os.getpid(), "url": url, "port": port}))

    def release(self) -> None:
        """Give the home back after an orderly stop."""
        if self._descriptor is not None:
            self._write("")
            os.close(self._descriptor)
            self._descriptor = None

    def _write(self, text: str) -> None:
        assert self._descriptor is not None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, text.encode(), 0)


def running_url(settings: Settings) -> str | None:
    """Address of the living ``tunery up`` of this home, if there is one."""
    try:
        descriptor = os.open(settings.run_dir / "up.lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        url = _owner(descriptor).get("url")
        return url if isinstance(url, str) else None
    finally:
        os.close(descriptor)
    return None


def _owner(descriptor: int) -> dict[str, object]:
    try:
        parsed = json.loads(os.pread(descriptor, 4096, 0))
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}
