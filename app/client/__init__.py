"""The client of Tunery for Python: ``from app.client import Tunery, AsyncTunery`` (docs/how-to/python-client.md).

Imported by name when first used: the command line needs parts of it, and must not wait for the rest.
"""

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from app.client.errors import (
        APIError,
        Conflict,
        ConnectionFailed,
        Forbidden,
        InvalidRequest,
        JobDidNotSucceed,
        LocalFileError,
        NotFound,
        RateLimited,
        ServerError,
        TuneryError,
        Unauthorized,
        Unavailable,
        WaitedTooLong,
    )
    from app.client.following import JobEvent, JobState, Outage
    from app.client.jobs import LogLine
    from app.client.tunery import AsyncTunery, Tunery, WrittenText

_MODULES: Final = ("tunery", "jobs", "following", "errors")

__all__ = [
    "APIError",
    "AsyncTunery",
    "Conflict",
    "ConnectionFailed",
    "Forbidden",
    "InvalidRequest",
    "JobDidNotSucceed",
    "JobEvent",
    "JobState",
    "LocalFileError",
    "LogLine",
    "NotFound",
    "Outage",
    "RateLimited",
    "ServerError",
    "Tunery",
    "TuneryError",
    "Unauthorized",
    "Unavailable",
    "WaitedTooLong",
    "WrittenText",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        for module in reversed(_MODULES):
            found = vars(importlib.import_module(f"app.client.{module}"))
            if name in found:
                return found[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
