"""``tunery jobs``: submit, follow, stop."""

from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli import compare, job_actions, job_metrics, job_spec
from app.cli.client import Client, segment
from app.cli.completion import complete_model
from app.cli.errors import CliError
from app.cli.follow import wait
from app.cli.job_actions import JobId, exit_as, follow_to_the_end, tell_outage
from app.cli.job_text import print_accepted, print_ending, print_job, print_jobs
from app.cli.output import JsonOption, console, print_json
from app.client import pages

app = typer.Typer(help="Jobs: submit, follow, stop.", no_args_is_help=True)

DATA_HELP = "a path (uploaded first), a file's id, or with --dataset-name a split"


@app.command()
def create(  # noqa: PLR0913  one parameter for each option
    *,
    model: Annotated[
        str | None,
        typer.Option(help="Base model: a registered name, ft:…, or a Hub id.", autocompletion=complete_model),
    ] = None,
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
    job = client.make_job("/jobs", body)
    if not as_json:
        print_accepted(job, uploaded=uploaded)
    if follow_it:
        follow_to_the_end(client, job["id"], as_json=as_json)
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
    node: Annotated[int, typer.Option(min=0, help="Of a job of several nodes: whose trainer; 0 leads.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON document for each line.")] = False,
) -> None:
    """Print what the job's trainer wrote. With -f the exit code tells how the job ended."""
    client = Client()
    lines = pages.log_lines(client.connection, job_id, to_the_end=follow_it, node=node)
    for attempt, line in client.iterate(lines):
        if as_json:
            print_json({"job_id": job_id, "attempt": attempt, "node": node, "line": line})
        else:
            typer.echo(line)
    if follow_it:
        job = wait(client, job_id, on_outage=tell_outage)
        if not as_json:
            print_ending(job)
        exit_as(job)


job_actions.register(app)
compare.register(app)
job_metrics.register(app)


def _given(**options: str | None) -> dict[str, str]:
    return {name: value for name, value in options.items() if value is not None}
