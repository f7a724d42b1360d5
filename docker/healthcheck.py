"""Says whether the part of Tunery in this container is well: ``healthcheck.py api | worker | predictor``.

Exit code 0 is yes. Standard library only, so that asking costs some 50 ms and not an import of Tunery.
"""

import os
import socket
import sys
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, build_opener

TIMEOUT_SECONDS = 4


def check_api() -> None:
    """Ask whether the API answers; not whether it is *ready*: restarting it would not bring back a database."""
    build_opener(ProxyHandler({})).open("http://127.0.0.1:8000/health/live", timeout=TIMEOUT_SECONDS).close()


def check_predictor() -> None:
    """Ask whether somebody listens at the predictor's address."""
    address = urlsplit(os.environ.get("TUNERY_PREDICTOR_URL") or "ipc:///data/run/predictor.sock")
    if address.scheme == "ipc":
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(TIMEOUT_SECONDS)
            client.connect(address.path)
    else:
        socket.create_connection(("127.0.0.1", address.port or 0), timeout=TIMEOUT_SECONDS).close()


def check_worker() -> None:
    """Ask whether the worker's process runs and is not stopped; it has no port that could answer."""
    if not any(map(_is_running_worker, Path("/proc").glob("[0-9]*"))):
        raise ProcessLookupError("no running worker")


def _is_running_worker(process: Path) -> bool:
    try:
        is_worker = b"-m worker.main" in (process / "cmdline").read_bytes().replace(b"\0", b" ")
        # The second field is a name in parentheses, which may itself contain blanks.
        state = (process / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:  # it has just ended, or belongs to somebody else
        return False
    return is_worker and state not in "TtZX"


def main(part: str) -> int:
    try:
        {"api": check_api, "worker": check_worker, "predictor": check_predictor}[part]()
    except OSError as error:
        print(f"{part}: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
