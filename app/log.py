"""Logs of every process: one short sentence and fields, to standard error; JSON in production, readable on a terminal."""

import logging
import os
import sys
from typing import Any, TextIO

import structlog
from structlog.typing import Processor

from app.config import Settings

QUIETED = {
    "uvicorn": logging.WARNING,  # its starts, stops and a line for each request
    "httpcore": logging.WARNING,
    "httpcore2": logging.WARNING,
    "httpx": logging.WARNING,
    "httpx2": logging.WARNING,
    "alembic": logging.WARNING,
    "celery.app.trace": logging.WARNING,  # a wake-up is no news; what it led to is logged by the supervisor
    "celery.worker.strategy": logging.WARNING,
    "filelock": logging.WARNING,
}


def configure(settings: Settings, *, stream: TextIO | None = None) -> None:
    """Send structlog's and the standard library's records the same way, to ``stream`` (standard error).

    ``log_format`` ``auto`` is console where the stream is a terminal, else JSON. Colours obey ``NO_COLOR``. May be
    called again: the last call holds.
    """
    out = sys.stderr if stream is None else stream
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderers(settings, out)],
        )
    )
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(settings.log_level.upper())
    for name, level in QUIETED.items():
        logging.getLogger(name).setLevel(level)
    logging.captureWarnings(capture=True)


def _renderers(settings: Settings, out: TextIO) -> list[Processor]:
    console = settings.log_format == "console" or (settings.log_format == "auto" and out.isatty())
    if not console:
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    colors = out.isatty() and not os.environ.get("NO_COLOR")
    # Rich's tracebacks would print local variables, and with them keys and users' texts.
    return [structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)]


def uvicorn_options() -> dict[str, Any]:
    """What keeps uvicorn from setting up logs of its own."""
    return {"log_config": None, "access_log": False}
