"""A job as it happens, for commands: ``app.client.following`` with the errors of the command line."""

from collections.abc import Callable, Iterator

from app.cli.client import Client
from app.client import following
from app.client.following import TERMINAL, Document, JobEvent, JobState, Outage, Update


def follow(client: Client, job_id: str) -> Iterator[Update]:
    """Every event from the first, once and in order, and the job about once a second; ends with the job's last state.

    A server that goes away for a while is waited for, and the wait is told. Raises CliError when it stays away, and when
    there is no such job.
    """
    return client.iterate(following.follow(client.connection, job_id))


def wait(
    client: Client,
    job_id: str,
    *,
    on_outage: Callable[[Outage], None],
    on_change: Callable[[Document], None] | None = None,
    timeout_seconds: float | None = None,
    noun: str = "jobs",
) -> Document:
    """The job, or whatever ``noun`` names, once it has ended; before, ``on_change`` is told each state that is another.

    Raises CliError after ``timeout_seconds``, and when the server stays away.
    """
    ended = following.wait(
        client.connection,
        job_id,
        on_outage=on_outage,
        on_change=on_change,
        timeout_seconds=timeout_seconds,
        noun=noun,
    )
    return client.run(ended)


__all__ = ["TERMINAL", "JobEvent", "JobState", "Outage", "Update", "follow", "wait"]
