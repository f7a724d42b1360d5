"""What a shell offers for an id: the newest ones of the server, or nothing if it does not answer at once."""

from collections.abc import Iterator
from typing import Any, Final

from app.cli.client import Client
from app.cli.errors import CliError

PATIENCE_SECONDS: Final = 2.0
OFFERED: Final = 100

Offer = tuple[str, str]
"""An id, and what it is."""


def complete_job(incomplete: str) -> list[Offer]:
    return [(job["id"], _of_job(job)) for job in _newest("/jobs") if job["id"].startswith(incomplete)]


def complete_file(incomplete: str) -> list[Offer]:
    return [(file["id"], file["filename"]) for file in _newest("/files") if file["id"].startswith(incomplete)]


def complete_model(incomplete: str) -> list[Offer]:
    return [
        (model["id"], model["base_model"] or model["kind"])
        for model in _newest("/models")
        if model["id"].startswith(incomplete)
    ]


def complete_finished(incomplete: str) -> list[Offer]:
    """What can be asked: a finished model, or the job that made it."""
    models = [
        (model["id"], model["task"] or "")
        for model in _newest("/models")
        if model["kind"] == "fine-tuned" and model["id"].startswith(incomplete)
    ]
    jobs = [
        (job["id"], _of_job(job))
        for job in _newest("/jobs", status="succeeded", kind="training")
        if job["id"].startswith(incomplete)
    ]
    return models + jobs


def _of_job(job: dict[str, Any]) -> str:
    return f"{job['status']} {job['spec']['model']}"


def _newest(path: str, **filters: str) -> Iterator[dict[str, Any]]:
    try:
        page = Client(timeout_seconds=PATIENCE_SECONDS).get(path, limit=OFFERED, **filters)
    except CliError:
        return
    yield from page["data"]
