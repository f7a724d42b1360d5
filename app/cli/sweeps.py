"""``tunery sweeps``: search for the best hyperparameters."""

import json
import re
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from app.cli import job_spec
from app.cli.client import Client, segment
from app.cli.errors import CliError
from app.cli.follow import Outage, wait
from app.cli.job_actions import WithResultsOption, delete
from app.cli.job_text import print_accepted
from app.cli.jobs import DATA_HELP
from app.cli.output import JsonOption, console, print_json, print_notice
from app.cli.sweep_text import TrialsTold, print_ending, print_sweep, print_sweeps

app = typer.Typer(help="Sweeps: search for the best hyperparameters.", no_args_is_help=True)

SweepId = Annotated[str, typer.Argument(help="The sweep.", metavar="ID")]

_RANGE: Final = re.compile(r"(?P<low>[^,:]+?)\.\.(?P<high>[^,:]+)(:(?P<how>.+))?")


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
    vary: Annotated[
        list[str] | None,
        typer.Option(
            help="What to vary: NAME=LOW..HIGH, with :log or :STEP behind it, or NAME=A,B,C; repeatable.",
            metavar="training.learning_rate=1e-5..1e-3:log",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any field of the job, as NAME=VALUE; the same in all trials; repeatable."),
    ] = None,
    metric: Annotated[str | None, typer.Option(help="What to judge by, such as eval/f1.")] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="How many jobs to try.")] = None,
    parallel: Annotated[int | None, typer.Option(min=1, help="How many of them at a time.")] = None,
    sampler: Annotated[str | None, typer.Option(help="tpe, random or grid.")] = None,
    pruner: Annotated[
        str | None, typer.Option(help="median, percentile, successive_halving, hyperband or none.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of the sampler.")] = None,
    keep_models: Annotated[str | None, typer.Option(help="best or all.")] = None,
    metadata: Annotated[list[str] | None, typer.Option(help="A note, as KEY=VALUE; repeatable.")] = None,
    spec: Annotated[
        Path | None, typer.Option(help="JSON file with the body of POST /sweeps; the other options come on top of it.")
    ] = None,
    follow_it: Annotated[
        bool, typer.Option("--follow", "-f", help="Tell of every trial until the sweep ends.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Try many settings of a job, and keep the best model."""
    body: dict[str, Any] = {} if spec is None else job_spec.read_spec(spec)
    job = body.setdefault("job", {})
    job |= _given(model=model)
    if dataset := _given(name=dataset_name, config=dataset_config):
        job["dataset"] = {**job.get("dataset", {}), **dataset}
    for setting in settings or []:
        job_spec.apply_setting(job, setting)
    for text in vary or []:
        name, values = parse_values(text)
        body.setdefault("space", {})[name] = values
    body |= _given(metric=metric, num_trials=trials, max_parallel=parallel, keep_models=keep_models)
    if chosen := _given(type=sampler, seed=seed):
        body["sampler"] = {**body.get("sampler", {}), **chosen}
    if pruner is not None:
        body["pruner"] = {"type": pruner}
    job_spec.apply_metadata(body, metadata or [])
    if "model" not in job or ("dataset" not in job and train is None) or not body.get("space"):
        raise CliError(
            "A sweep needs --model, --train (or --dataset-name) and --vary, or --spec.",
            hint="tunery sweeps create --help",
        )
    client = Client()
    uploaded = job_spec.resolve_data(client, job, {"train": train, "validation": validation, "test": test})
    sweep = client.make_job("/sweeps", body)
    if not as_json:
        print_accepted(sweep, uploaded=uploaded)
    if follow_it:
        _follow(client, sweep["id"], as_json=as_json)
    elif as_json:
        print_json(sweep)
    else:
        console().print(f"follow it: tunery sweeps wait -f {sweep['id']}", markup=False)


@app.command("ls")
def list_sweeps(
    *,
    status: Annotated[str | None, typer.Option(help="Only those queued, running, succeeded, failed, …")] = None,
    after: Annotated[str | None, typer.Option(help="Id of the last sweep of the page before.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many, newest first.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """List the sweeps."""
    page = Client().get("/sweeps", status=status, after=after, limit=limit)
    if as_json:
        print_json(page)
    else:
        print_sweeps(page)


@app.command()
def show(sweep_id: SweepId, *, as_json: JsonOption = False) -> None:
    """Show a sweep and its trials."""
    client = Client()
    sweep = client.get(f"/sweeps/{segment(sweep_id)}")
    trials = client.get(f"/sweeps/{segment(sweep_id)}/trials", limit=1000)["data"]
    if as_json:
        print_json(sweep | {"trials": trials})
    else:
        print_sweep(sweep, trials)


@app.command()
def cancel(sweep_id: SweepId, *, as_json: JsonOption = False) -> None:
    """Begin no further trial, cancel those under way, and keep the best model until then."""
    sweep = Client().post(f"/sweeps/{segment(sweep_id)}/cancel")
    if as_json:
        print_json(sweep)
        return
    asked = " (asked to cancel)" if sweep["status"] in {"queued", "running"} else ""
    console().print(f"{sweep['id']}  {sweep['status']}{asked}", markup=False)


@app.command()
def rm(sweep_id: SweepId, *, with_results: WithResultsOption = False, as_json: JsonOption = False) -> None:
    """Delete a sweep that is over, with its trials and their jobs; models stay."""
    delete(f"/sweeps/{segment(sweep_id)}", with_results=with_results, as_json=as_json)


@app.command("wait")
def wait_for(
    sweep_id: SweepId,
    *,
    timeout: Annotated[float | None, typer.Option(min=0, help="Give up after so many seconds.")] = None,
    follow_it: Annotated[bool, typer.Option("--follow", "-f", help="Tell of every trial.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Wait until a sweep has ended; the exit code tells how."""
    _follow(Client(), sweep_id, as_json=as_json, timeout_seconds=timeout, quiet=not follow_it)


def parse_values(text: str) -> tuple[str, dict[str, Any]]:
    """``NAME=LOW..HIGH[:log|:STEP]`` or ``NAME=A,B,C`` as a name and its part of the space. Raises CliError."""
    name, equals, values = text.partition("=")
    if not equals or not name or not values:
        raise _unreadable(text)
    found = _RANGE.fullmatch(values)
    if found is None:
        return name, {"choices": _choices(values)}
    try:
        space: dict[str, Any] = {"low": float(found["low"]), "high": float(found["high"])}
        if found["how"] == "log":
            space["log"] = True
        elif found["how"] is not None:
            space["step"] = float(found["how"])
    except ValueError as error:
        raise _unreadable(text) from error
    return name, space


def _choices(values: str) -> list[Any]:
    """A JSON list, or its inside; what is no JSON is text."""
    if values.startswith("["):
        try:
            whole: list[Any] = json.loads(values)
        except ValueError:
            pass
        else:
            return whole
    chosen = []
    for part in values.split(","):
        try:
            chosen.append(json.loads(part))
        except ValueError:
            chosen.append(part)
    return chosen


def _unreadable(text: str) -> CliError:
    return CliError(
        f"--vary {text} is not NAME=LOW..HIGH or NAME=A,B,C.",
        hint="For example: --vary training.learning_rate=1e-5..1e-3:log",
    )


def _follow(
    client: Client, sweep_id: str, *, as_json: bool, timeout_seconds: float | None = None, quiet: bool = False
) -> None:
    told = None if as_json or quiet else TrialsTold(client, sweep_id)
    try:
        sweep = wait(client, sweep_id, on_outage=_tell, timeout_seconds=timeout_seconds, noun="sweeps", on_change=told)
    except KeyboardInterrupt:
        if not as_json:
            console().print(
                f"The sweep goes on. Watch: tunery sweeps wait -f {sweep_id}  Stop: tunery sweeps cancel {sweep_id}"
            )
        raise typer.Exit(130) from None
    if told is not None:
        told(sweep)
    if as_json:
        print_json(sweep)
    else:
        print_ending(sweep)
    if sweep["status"] != "succeeded":
        raise typer.Exit(1)


def _tell(outage: Outage) -> None:
    print_notice(outage.message)


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}
