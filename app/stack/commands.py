"""How each part of the service is started: by ``tunery up`` on one machine, and by the images one to a container.

Every command line says what the process is and which home it belongs to.
"""

import os
import signal
import sys
import sysconfig
from pathlib import Path
from typing import Final

from app.config import Settings

ROOT: Final = Path(__file__).resolve().parents[2]
"""The folder that holds ``app`` and ``worker``: a checkout, or site-packages."""

_SECRETS: Final = ("TUNERY_DATABASE_URL", "TUNERY_REDIS_URL", "TUNERY_FIRST_API_KEY", "TUNERY_API_KEY")
_TETHER: Final = str(ROOT / "app" / "stack" / "tethered.py")


def api_command(settings: Settings, *, descriptor: int | None = None) -> list[str]:
    """``descriptor`` is a listening socket the process inherits; without one it binds the settings' address itself."""
    command = [sys.executable, "-m", "app.cli", "serve", "--home", str(settings.home_dir)]
    command += ["--host", settings.host, "--port", str(settings.port)]
    return command if descriptor is None else [*command, "--descriptor", str(descriptor)]


def worker_command(settings: Settings) -> list[str]:
    return [sys.executable, "-m", "worker.main", "--home", str(settings.home_dir)]


def predictor_command(settings: Settings) -> list[str]:
    home = str(settings.home_dir)
    return [sys.executable, "-m", "worker.predictor", "--home", home, "--bind", settings.predictor]


def part_environment(settings: Settings) -> dict[str, str]:
    """This process's environment and the settings.

    Modules come from where this one came from, never from the working directory, where a user may well keep an ``app``.
    """
    environment = dict(os.environ)
    environment["TUNERY_HOME"] = str(settings.home_dir)
    environment["TUNERY_HOST"] = settings.host
    environment["TUNERY_PORT"] = str(settings.port)
    environment["PYTHONSAFEPATH"] = "1"
    if ROOT not in {Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib")}:
        others = environment.get("PYTHONPATH", "").split(os.pathsep)
        environment["PYTHONPATH"] = os.pathsep.join(
            [str(ROOT), *(path for path in others if path and path != str(ROOT))]
        )
    return environment


def torch_environment(settings: Settings) -> dict[str, str]:
    """As ``part_environment``; idle OpenMP threads sleep instead of spinning on the cores that others need."""
    return {"OMP_WAIT_POLICY": "passive", **part_environment(settings)}


def predictor_environment(settings: Settings) -> dict[str, str]:
    """As ``torch_environment``, without the secrets: the predictor asks neither database nor broker."""
    return {name: value for name, value in torch_environment(settings).items() if name not in _SECRETS}


def tethered(command: list[str], *, death_signal: signal.Signals) -> list[str]:
    """``command``, to be started by this thread of this process, and to get ``death_signal`` when that ends."""
    return [sys.executable, "-I", "-S", _TETHER, str(os.getpid()), str(int(death_signal)), *command]
