"""``tunery jobs``: submit, follow, stop."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli import job_spec
from app.cli.client import Client, segment
from app.cli.errors import CliError
from app.cli.follow import POLL_SECONDS, Outage, follow, wait
from app.cli.job_text import print_ending, print_job, print_jobs
from app.cli.output import JsonOption, console, print_json, print_notice
from app.cli.view import watch

app = typer.Typer(help="Jobs: submit, follow, stop.", no_args_is_help=True)

JobId = Annotated[str, typer.Argument(help="The job.", metavar="ID")]
DATA_HELP = "a path (uploaded first), a file's id, or with --dataset-name a split"


@app.command()
def create(  # noqa: PLR0913  one parameter for each option
    *,
    model: Annotated[str | None, typer.Option(help="Base model: a registered name, ft:…, or a Hub id.")] = None,
    train: Annotated[str | None, typer.Option(help=f"Training data: {DATA_HELP}.")] = None,
    validation: Annotated[
        str | None, typer.Option(help=f"Validation data: {DATA_HELP}; or a fraction of the training data.")
    ] = None,
    test: Annotated[str | None, typer.Option(help=f"Test data: {DATA_HELP}.")] = None,
    dataset_name: Annotated[str | None, typer.Option(help="Data set on the Hub.")] = None,
    dataset_config: Annotated[str | None, typer.Option(help="Its configuration.")] = None,
    task: Annotated[str | None, typer.Option(help="Such as text-classification; found out if not given.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="Any field of the spec, as NAME=VALUE; repeatable.", metavar="training.learning_rate=3e-5"
        ),
    ] = None,
    suffix: Annotated[str | None, typer.Option(help="Part of the finished model's id.")] = None,
    metadata: Annotated[list[str] | None, typer.Option(help="A note, as KEY=VALUE; repeatable.")] = None,
    spec: Annotated[
        Path | None, typer.Option(help="JSON file with the body of POST /jobs; the other options come on top of it.")
    ] = None,
    follow_it: Annotated[bool, typer.Option("--follow", "-f", help="Watch the job until it ends.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Fine-tune a model."""
    body: dict[str, Any] = {} if spec is None else job_spec.read_spec(spec)
    body |= _given(model=model, task=task, suffix=suffix)
    if dataset := _given(name=dataset_name, config=dataset_config):
        body["dataset"] = {**body.get("dataset", {}), **dataset}
    for setting in settings or []:
        job_spec.apply_setting(body, setting)
    job_spec.apply_metadata(body, metadata or [])
    if "model" not in body or ("dataset" not in body and train is None):
        raise CliError(
            "A job needs --model and --train (or --dataset-name, or --spec).", hint="tunery jobs create --help"
        )
    client = Client()
    uploaded = job_spec.resolve_data(client, body, {"train": train, "validation": validation, "test": test})
    job = client.post("/jobs", body)
    if not as_json:
        for file in uploaded:
            console().print(f"uploaded {file['filename']}: {file['id']}", markup=False)
        console().print(f"{job['id']}  {job['status']}", markup=False)
    if follow_it:
        _follow(client, job["id"], as_json=as_json)
    elif as_json:
        print_json(job)
    else:
        console().print(f"follow it: tunery jobs logs -f {job['id']}", markup=False)


@app.command("ls")
def list_jobs(
    *,
    status: Annotated[str | None, typer.Option(help="Only those queued, running, succeeded, failed, …")] = None,
    kind: Annotated[str | None, typer.Option(help="Only those of the kind training, prediction or export.")] = None,
    metadata: Annotated[list[str] | None, typer.Option(help="Only those with this note, as KEY=VALUE.")] = None,
    after: Annotated[str | None, typer.Option(help="Id of the last job of the page before.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many, newest first.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """List the jobs."""
    notes: dict[str, Any] = {}
    job_spec.apply_metadata(notes, metadata or [])
    filters = {f"metadata[{key}]": value for key, value in notes.get("metadata", {}).items()}
    page = Client().get("/jobs", status=status, kind=kind, after=after, limit=limit, **filters)
    if as_json:
        print_json(page)
    else:
        print_jobs(page)


@app.command()
def show(job_id: JobId, *, as_json: JsonOption = False) -> None:
    """Show a job as it stands."""
    job = Client().get(f"/jobs/{segment(job_id)}")
    if as_json:
        print_json(job)
    else:
        print_job(job)


@app.command()
def logs(
    job_id: JobId,
    *,
    follow_it: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job ends.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON document for each line.")] = False,
) -> None:
    """Print what the job's trainer wrote. With -f the exit code tells how the job ended."""
    client = Client()
    for attempt, line in _log_lines(client, job_id, to_the_end=follow_it):
        if as_json:
            print_json({"job_id": job_id, "attempt": attempt, "line": line})
        else:
            typer.echo(line)
    if follow_it:
        job = wait(client, job_id, on_outage=_tell)
        if not as_json:
            print_ending(job)
        _exit_as(job)


def _log_lines(client: Client, job_id: str, *, to_the_end: bool) -> Iterator[tuple[int | None, str]]:
    cursor: str | None = None
    while True:
        page = client.get(f"/jobs/{segment(job_id)}/logs", after=cursor)
        for line in page["lines"]:
            yield page["attempt"], line
        moved = page["next"] != cursor
        cursor = page["next"]
        if page["ended"] or (not to_the_end and not page["lines"] and not moved):
            return
        if not page["lines"]:
            time.sleep(0 if moved and not to_the_end else POLL_SECONDS)


@app.command()
def cancel(job_id: JobId, *, as_json: JsonOption = False) -> None:
    """Cancel a job; a running one stops within seconds."""
    _request(job_id, "cancel", as_json=as_json)


@app.command()
def pause(job_id: JobId, *, as_json: JsonOption = False) -> None:
    """Pause a job; a running one writes a checkpoint first."""
    _request(job_id, "pause", as_json=as_json)


@app.command()
def resume(job_id: JobId, *, as_json: JsonOption = False) -> None:
    """Let a paused job go on from its checkpoint."""
    _request(job_id, "resume", as_json=as_json)


@app.command()
def stop(job_id: JobId, *, as_json: JsonOption = False) -> None:
    """Train no further, and publish the best model so far."""
    _request(job_id, "stop", as_json=as_json)


@app.command()
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
    job = client.post(f"/jobs/{segment(job_id)}/retry", changes)
    if not as_json:
        console().print(f"{job['id']}  {job['status']}", markup=False)
    if follow_it:
        _follow(client, job["id"], as_json=as_json)
    elif as_json:
        print_json(job)


def _request(job_id: str, action: str, *, as_json: bool) -> None:
    job = Client().post(f"/jobs/{segment(job_id)}/{action}")
    if as_json:
        print_json(job)
        return
    asked = f" (asked to {job['request']['action']})" if job["request"] and job["status"] == "running" else ""
    console().print(f"{job['id']}  {job['status']}{asked}", markup=False)


@app.command("wait")
def wait_for(
    job_id: JobId,
    *,
    timeout: Annotated[float | None, typer.Option(min=0, help="Give up after so many seconds.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Wait until a job has ended; the exit code tells how."""
    job = wait(Client(), job_id, on_outage=_tell, timeout_seconds=timeout)
    if as_json:
        print_json(job)
    else:
        print_ending(job)
    _exit_as(job)


def _follow(client: Client, job_id: str, *, as_json: bool) -> None:
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
    _exit_as(job)


def _tell(outage: Outage) -> None:
    print_notice(outage.message)


def _given(**options: str | None) -> dict[str, str]:
    return {name: value for name, value in options.items() if value is not None}


def _exit_as(job: dict[str, Any]) -> None:
    if job["status"] != "succeeded":
        raise typer.Exit(1)
