"""What a trainer gives up before it looks at anything of its job: rights, reach and resources. It cannot have them back.

The worker says what in ``run.json`` (``Confinement``), and has tried at its start whether the system allows it.
"""

import ctypes
import fcntl
import os
import resource
import socket
import struct
import sys
from pathlib import Path
from typing import Final

from app.spec.run import Confinement

UMASK: Final = 0o077
MOST_OPEN_FILES: Final = 65_536
_CLONE_NEWNET: Final = 0x40000000
_CLONE_NEWUSER: Final = 0x10000000
_PR_SET_NO_NEW_PRIVS: Final = 38
_CAPABILITY_VERSION_3: Final = 0x20080522
_SIOCGIFFLAGS: Final = 0x8913
_SIOCSIFFLAGS: Final = 0x8914
_IFF_UP: Final = 0x1


class ConfinementError(Exception):
    """The system does not allow it; the text says what, and why."""


def confine(to: Confinement) -> None:
    """Raises ConfinementError; the process must not go on then. Only for a process with one thread."""
    os.umask(UMASK)
    _bound_resources(to)
    if to.network == "none":
        _leave_the_network()
    if to.user is not None:
        _become(to)
    if to.user is not None or to.network == "none":
        _drop_capabilities()
    if sys.platform == "linux":
        _call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, what="giving up new privileges")


def _bound_resources(to: Confinement) -> None:
    """A core file would hold the job's data, and its token."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_OPEN_FILES if most == resource.RLIM_INFINITY else min(most, MOST_OPEN_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if to.memory_bytes is not None:
        # Not the address space: CUDA reserves more of that than there is memory.
        resource.setrlimit(resource.RLIMIT_DATA, (to.memory_bytes, to.memory_bytes))


def _leave_the_network() -> None:
    """A network of its own, with nothing in it but loopback, on which ranks meet."""
    if sys.platform != "linux":
        raise ConfinementError("taking the network away needs Linux")
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        _call("unshare", _CLONE_NEWNET, what="taking the network away")
    else:
        _call("unshare", _CLONE_NEWUSER | _CLONE_NEWNET, what="taking the network away (a user namespace)")
        try:
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
            Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
        except OSError as error:
            raise ConfinementError(f"taking the network away (a user namespace): {error.strerror}") from error
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            name = b"lo".ljust(16, b"\0")
            _, flags = struct.unpack("16sh", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, struct.pack("16sh", name, 0)))
            fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh", name, flags | _IFF_UP))
    except OSError as error:
        raise ConfinementError(f"starting loopback: {error.strerror}") from error
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"


def _become(to: Confinement) -> None:
    assert to.user is not None
    assert to.group is not None
    try:
        os.setgroups(to.groups)
        os.setresgid(to.group, to.group, to.group)
        os.setresuid(to.user, to.user, to.user)
    except OSError as error:
        raise ConfinementError(f"becoming the user {to.user}: {error.strerror}") from error


def _drop_capabilities() -> None:
    """Those that root has, and those that a user namespace gives: with them the network could be entered again."""
    if sys.platform != "linux":
        return
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    none = (ctypes.c_uint32 * 6)()
    _call("capset", header, none, what="dropping capabilities")


def _call(name: str, *arguments: object, what: str) -> None:
    """A function of the C library that is 0 if it went well. Raises ConfinementError."""
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, name)(*arguments) != 0:
        raise ConfinementError(f"{what}: {os.strerror(ctypes.get_errno())}")


def _look_at_what_is_to_be_imported() -> None:
    """A trainer that starts cold imports most of it when it is confined. Raises ConfinementError."""
    for module in (os.__file__, __file__):
        try:
            Path(module).read_bytes()
            next(Path(module).parent.iterdir())
        except OSError as error:
            raise ConfinementError(f"reading the Python that Tunery is installed in: {error}") from error


def main() -> int:
    """``python -m worker.trainer.confinement JSON``: whether the system allows it. Says why not on standard error."""
    try:
        confine(Confinement.model_validate_json(sys.argv[1]))
        _look_at_what_is_to_be_imported()
    except ConfinementError as error:
        print(error, file=sys.stderr)  # noqa: T201 - the worker reads it
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
