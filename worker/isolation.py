"""Trainers that are kept apart from the service: what the settings ask for, and whose a run directory is meanwhile.

The trainer gives its rights up itself (``worker.trainer.confinement``). Here is what only the worker can do: look at its start
whether that works, lend the run directory to the trainer's user, and take back what is to be published.
"""

import os
import pwd
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from app.config import get_settings
from app.errors import InvalidRequest
from app.manifest import CorruptArtefactError
from app.spec.run import RUN_FILE, Confinement

OFFLINE: Final = {"HF_HUB_OFFLINE": "1"}
"""What a trainer without a network is told, so that it looks into its cache and does not wait for answers."""
_CHECK_SECONDS: Final = 60


class IsolationUnavailableError(Exception):
    """The settings ask for what this system does not allow. The text says what to do."""


def confinement() -> Confinement:
    """What trainers of this worker give up. Raises IsolationUnavailableError if the user that they should run as is unknown."""
    settings = get_settings()
    if settings.trainer_user is None:
        return Confinement(memory_bytes=settings.trainer_memory_bytes, network=settings.trainer_network)
    user, group, groups = _user(settings.trainer_user)
    return Confinement(
        user=user,
        group=group,
        groups=groups,
        memory_bytes=settings.trainer_memory_bytes,
        network=settings.trainer_network,
    )


def _user(told: str) -> tuple[int, int, list[int]]:
    """Number, group and further groups of ``uid:gid`` or a name."""
    user, colon, group = told.partition(":")
    if colon and user.isdecimal() and group.isdecimal():
        return int(user), int(group), [int(group)]
    try:
        entry = pwd.getpwnam(told)
    except KeyError:
        raise IsolationUnavailableError(f"TUNERY_TRAINER_USER: there is no user {told!r}") from None
    return entry.pw_uid, entry.pw_gid, os.getgrouplist(entry.pw_name, entry.pw_gid)


def check() -> None:
    """Raises IsolationUnavailableError unless trainers can be confined as the settings say: they never run otherwise."""
    wanted = confinement()
    if wanted.user is not None:
        _lend_home(wanted)
    if wanted.user is None and wanted.network == "host":
        return
    told = subprocess.run(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-m", "worker.trainer.confinement", wanted.model_dump_json()],
        capture_output=True,
        text=True,
        timeout=_CHECK_SECONDS,
        check=False,
    )
    if told.returncode != 0:
        reason = (told.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise IsolationUnavailableError(
            "this system does not allow what TUNERY_TRAINER_USER and TUNERY_TRAINER_NETWORK ask for: "
            f"{reason}. Run the worker as root or allow it user namespaces, or unset them"
        )


def _lend_home(wanted: Confinement) -> None:
    """Caches are the trainer's; the database is not to be read by it. Raises IsolationUnavailableError if it cannot reach its folders."""
    settings = get_settings()
    if os.geteuid() != 0:
        raise IsolationUnavailableError("TUNERY_TRAINER_USER needs a worker that runs as root")
    if wanted.user == 0:
        raise IsolationUnavailableError("TUNERY_TRAINER_USER must be another user than root")
    for folder in (settings.cache_dir, own_home(settings.cache_dir), settings.jobs_dir, settings.artefacts_dir):
        folder.mkdir(parents=True, exist_ok=True)
    for folder in (settings.cache_dir, own_home(settings.cache_dir)):
        os.chown(folder, wanted.user or 0, wanted.group or 0)
    for name in ("tunery.db", "tunery.db-wal", "tunery.db-shm"):
        if (path := settings.home_dir / name).exists():
            path.chmod(0o600)
    for folder in (settings.jobs_dir, settings.artefacts_dir, settings.cache_dir):
        closed = [parent for parent in folder.parents if not _lets_pass(parent, wanted)]
        if closed:
            raise IsolationUnavailableError(
                f"the user of TUNERY_TRAINER_USER cannot reach {folder}: {closed[-1]} is closed to it "
                f"(chgrp {wanted.group} {closed[-1]} && chmod g+x {closed[-1]})"
            )


def _lets_pass(folder: Path, wanted: Confinement) -> bool:
    found = folder.stat()
    if found.st_uid == wanted.user:
        return bool(found.st_mode & stat.S_IXUSR)
    if found.st_gid in {wanted.group, *wanted.groups}:
        return bool(found.st_mode & stat.S_IXGRP)
    return bool(found.st_mode & stat.S_IXOTH)


def own_home(cache_dir: Path) -> Path:
    """The home of a user that has none: where libraries keep what they like to keep."""
    return cache_dir / "trainer-home"


def environment() -> dict[str, str]:
    """What trainers are told in addition, or in the place of what the worker was told."""
    wanted = confinement()
    told = dict(OFFLINE) if wanted.network == "none" else {}
    if wanted.user is not None:
        cache = get_settings().cache_dir
        told |= {"HOME": str(own_home(cache)), "USER": str(get_settings().trainer_user).partition(":")[0]}
        told |= {"XDG_CACHE_HOME": str(cache)}
        if "HF_HOME" not in os.environ:
            told["HF_HOME"] = str(cache / "huggingface")
    return told


def refuse_nodes_without_network(nodes: int) -> None:
    """Raises InvalidRequest: workers cannot run a job together if their trainers cannot reach each other."""
    if nodes > 1 and confinement().network == "none":
        raise InvalidRequest(
            "trainers of this worker have no network, so several workers cannot run a job together",
            param="resources.nodes",
            code="nodes_need_network",
            hint="Ask for one node, or unset TUNERY_TRAINER_NETWORK on workers that run such jobs.",
        )


def lend(run_dir: Path) -> None:
    """Let the trainer's user write in the run directory, but not replace what the worker has put there."""
    wanted = confinement()
    if wanted.user is None:
        return
    assert wanted.group is not None
    for path, mode in ((run_dir, 0o1770), (run_dir / RUN_FILE, 0o640)):
        os.chown(path, -1, wanted.group)
        path.chmod(mode)


def take_back(folder: Path, *, job_id: str) -> Path:
    """A folder that a trainer of the job has sealed, as one that the worker wrote: its own, readable to whom all artefacts are, of plain files.

    Raises CorruptArtefactError if it lies outside of the job's folder or holds anything else than files and folders.
    """
    jobs_dir = get_settings().jobs_dir.resolve()
    resolved = (jobs_dir / folder).resolve()
    if not resolved.is_relative_to(jobs_dir / job_id):
        raise CorruptArtefactError(f"the trainer told of a folder that is not its own: {folder}")
    if not resolved.is_dir():
        return resolved  # placed already, by an attempt to publish that was cut off
    mode = stat.S_IMODE(get_settings().artefacts_dir.stat().st_mode) & 0o777
    for parent, _, names in os.walk(resolved):
        _take(Path(parent), mode=mode | 0o700)
        for name in names:
            _take(Path(parent) / name, mode=mode & 0o666 | 0o600)
    return resolved


@contextmanager
def guarded(path: Path, *, job_id: str) -> Iterator[Path]:
    """Where to read what a trainer of the job has written, and may still replace: an open file, which it cannot replace by a link.

    Raises CorruptArtefactError for what is no plain file of its own in the job's folder.
    """
    owner = confinement().user
    if owner is None:  # it may read whatever the worker may
        yield path
        return
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise CorruptArtefactError(f"{path.name} cannot be read, or is a link: {error.strerror}") from error
    try:
        opened, found = Path(f"/proc/self/fd/{descriptor}"), os.fstat(descriptor)
        own = get_settings().jobs_dir.resolve() / job_id
        is_here = path.is_relative_to(own) and ".." not in path.parts and opened.readlink().is_relative_to(own)
        if not is_here or not stat.S_ISREG(found.st_mode) or found.st_uid != owner:
            raise CorruptArtefactError(f"{path} is no file of the trainer's own, of this job")
        yield opened
    finally:
        os.close(descriptor)


def _take(path: Path, *, mode: int) -> None:
    """Links would have the worker publish what the trainer may not read itself."""
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) and not stat.S_ISREG(found.st_mode):
        raise CorruptArtefactError(f"{path.name} is a link, or no file")
    if found.st_uid != os.geteuid():
        if stat.S_ISREG(found.st_mode) and found.st_nlink > 1:
            _unlink_from_others(path)
        os.chown(path, os.geteuid(), os.getegid(), follow_symlinks=False)
    elif confinement().user is not None and stat.S_ISREG(found.st_mode):
        raise CorruptArtefactError(f"{path.name} is not the trainer's own")
    path.chmod(mode)


def _unlink_from_others(path: Path) -> None:
    """The trainer keeps a name of the file elsewhere, as in its cache: a copy takes its place here."""
    copy = path.with_name(f".{path.name}.copy")
    shutil.copyfile(path, copy)
    os.chown(copy, path.lstat().st_uid, -1)
    copy.replace(path)
