"""What is asked of a job that is there, and how commands end that wait for one."""

from typing import Annotated, Any

import typer

from app.cli import job_spec
from app.cli.client import Client, segment
from app.cli.completion import complete_job
from app.cli.follow import Outage, follow, wait
from app.cli.job_text import print_ending
from app.cli.output import JsonOption, console, print_json, print_notice
from app.cli.view import watch

JobId = Annotated[str, typer.Argument(help="The job.", metavar="ID", autocompletion=complete_job)]

WithResultsOption = Annotated[
    bool, typer.Option("--with-results", help="Delete the models and files that came of it too.")
]


def register(app: typer.Typer) -> None:
    for command in (cancel, pause, resume, stop, retry, rm):
        app.command()(command)
    app.command("wait")(wait_for)


def cancel(job_id: JobId, *, as_json: JsonOption = False) -> None:
    """Cancel a job; a running one stops within seconds."""
    _request(job_id, "cancel", as_json=as_json)


def pause(job_id: JobId, *, as_json: JsonOption = False) -> None:
    """Pause a job; a running one writes a checkpoint first."""
    _request(job_id, "pause", as_json=as_json)


def resume(job_id: JobId, *, as_json: JsonOption = False) -> None:
    """Let a paused job go on from its checkpoint."""
    _request(job_id, "resume", as_json=as_json)


def stop(job_id: JobId, *, as_json: JsonOption = False) -> None:
    """Train no further, and publish the best model so far."""
    _request(job_id, "stop", as_json=as_json)


def retry(
    job_id: JobId,
    *,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="A field that is to be another, as NAME=VALUE; repeatable."),
    ] = None,
    follow_it: Annotated[bool, typer.Option("--follow", "-f", help="Watch the new job until it ends.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Submit a job that is over again, changed if need be."""
    client = Client()
    changes: dict[str, Any] = {}
    for setting in settings or []:
        job_spec.apply_setting(changes, setting)
    job = client.make_job(f"/jobs/{segment(job_id)}/retry", changes)
    if not as_json:
        console().print(f"{job['id']}  {job['status']}", markup=False)
    if follow_it:
        follow_to_the_end(client, job["id"], as_json=as_json)
    elif as_json:
        print_json(job)


def rm(job_id: JobId, *, with_results: WithResultsOption = False, as_json: JsonOption = False) -> None:
    """Delete a job that is over, with its metrics, checkpoints and logs; what it made stays."""
    delete(f"/jobs/{segment(job_id)}", with_results=with_results, as_json=as_json)


def delete(path: str, *, with_results: bool, as_json: bool) -> None:
    """Delete a job or a sweep, and say so."""
    deleted = Client().delete(path, results="delete" if with_results else "keep")
    if as_json:
        print_json(deleted)
    else:
        console().print(f"{deleted['id']}  deleted", markup=False)


def _request(job_id: str, action: str, *, as_json: bool) -> None:
    job = Client().post(f"/jobs/{segment(job_id)}/{action}", is_repeatable=True)
    if as_json:
        print_json(job)
        return
    asked = f" (asked to {job['request']['action']})" if job["request"] and job["status"] == "running" else ""
    console().print(f"{job['id']}  {job['status']}{asked}", markup=False)


def wait_for(
    job_id: JobId,
    *,
    timeout: Annotated[float | None, typer.Option(min=0, help="Give up after so many seconds.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Wait until a job has ended; the exit code tells how."""
    job = wait(Client(), job_id, on_outage=tell_outage, timeout_seconds=timeout)
    if as_json:
        print_json(job)
    else:
        print_ending(job)
    exit_as(job)


def follow_to_the_end(client: Client, job_id: str, *, as_json: bool) -> None:
    """Show a job until it has ended. Exits with 1 if it did not succeed, with 130 on Ctrl-C, which leaves it running."""
    try:
        job = watch(follow(client, job_id), quiet=as_json)
    except KeyboardInterrupt:
        if not as_json:
            console().print(f"The job goes on. Watch: tunery jobs wait {job_id}  Stop: tunery jobs cancel {job_id}")
        raise typer.Exit(130) from None
    if as_json:
        print_json(job)
    else:
        print_ending(job)
    exit_as(job)


def tell_outage(outage: Outage) -> None:
    print_notice(outage.message)


def exit_as(job: dict[str, Any]) -> None:
    """Exits with 1 unless the job has succeeded."""
    if job["status"] != "succeeded":
        raise typer.Exit(1)
