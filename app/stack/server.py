"""The API's process: uvicorn around ``app.main:create_app``."""

import gc
import socket
from typing import Final

import uvicorn

from app import log
from app.config import Settings
from app.stack import address

GRACEFUL_SECONDS: Final = 3
"""Open event streams would otherwise hold a stopping server for ever."""
GARBAGE_THRESHOLD: Final = 10_000
"""Objects more than were let go before Python looks for circles. With its 700, and dozens of requests under way, that was an eighth of the process's time."""


def serve(settings: Settings, *, descriptor: int | None = None) -> None:
    """Serve until a signal stops it. ``descriptor`` is a listening socket that was inherited; else one is made.

    Raises StartError when the address is taken, or open to others without a key.
    """
    address.check_exposure(settings)
    if descriptor is None:
        listener = address.listen(settings.host, settings.port, patient=False)
    else:
        listener = socket.socket(fileno=descriptor)
    config = uvicorn.Config(
        "app.main:create_app",
        factory=True,
        ws="none",
        timeout_graceful_shutdown=GRACEFUL_SECONDS,
        **log.uvicorn_options(),
    )
    config.load()
    gc.freeze()  # what was imported stays: looking through it again and again would halt every request
    gc.set_threshold(GARBAGE_THRESHOLD)
    uvicorn.Server(config).run(sockets=[listener])
