"""``tunery jobs compare``: what several jobs were told differently, and what came of it."""

from typing import Annotated, Any, Final

import typer

from app.cli.client import Client, segment
from app.cli.completion import complete_job
from app.cli.errors import CliError
from app.cli.output import JsonOption, console, human_seconds, print_json, print_table
from app.cli.view import kind_of

UNSET: Final = "-"


def register(app: typer.Typer) -> None:
    app.command()(compare)


def compare(
    job_ids: Annotated[
        list[str], typer.Argument(help="The jobs, two or more.", metavar="ID…", autocompletion=complete_job)
    ],
    *,
    as_json: JsonOption = False,
) -> None:
    """Put jobs side by side: the settings that differ, and their metrics, best and last."""
    if len(dict.fromkeys(job_ids)) < 2:
        raise CliError("There is nothing to compare with one job.", hint="tunery jobs compare ID ID …")
    client = Client()
    jobs = [client.get(f"/jobs/{segment(job_id)}") for job_id in dict.fromkeys(job_ids)]
    document = {
        "jobs": [{"id": job["id"], "status": job["status"], "kind": kind_of(job)} for job in jobs],
        "settings": differing([job["spec"] for job in jobs]),
        "best": _side_by_side([_evaluated(job, "best") for job in jobs]),
        "last": _side_by_side([_evaluated(job, "latest") for job in jobs]),
        "test": _side_by_side([_test_metrics(job) for job in jobs]),
        "run_seconds": [job["timings"].get("run_seconds") for job in jobs],
    }
    if as_json:
        print_json(document)
    else:
        _print(document)


def differing(specs: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Dotted names of settings with their value in each spec, where those are not all the same."""
    return {name: values for name, values in _side_by_side([_flat(spec) for spec in specs]).items() if _differ(values)}


def _flat(document: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in document.items():
        found |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return found


def _differ(values: list[Any]) -> bool:
    return any(value != values[0] for value in values)


def _side_by_side(columns: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """The values of each name, in the order of the jobs; None where a job has none."""
    names = dict.fromkeys(name for column in columns for name in column)
    return {name: [column.get(name) for column in columns] for name in names}


def _evaluated(job: dict[str, Any], which: str) -> dict[str, Any]:
    found = job["metrics"][which] or {}
    return {name: value for name, value in found.items() if name == "step" or name.startswith("eval/")}


def _test_metrics(job: dict[str, Any]) -> dict[str, Any]:
    report = job["report"] or {}
    return {f"test/{name}": value for name, value in ((report.get("test") or {}).get("metrics") or {}).items()}


def _print(document: dict[str, Any]) -> None:
    jobs = document["jobs"]
    rows = [["status", *(job["status"] for job in jobs)]]
    if any(document["run_seconds"]):
        rows.append(["run time", *(UNSET if s is None else human_seconds(s) for s in document["run_seconds"])])
    rows += [[name, *map(_setting, values)] for name, values in document["settings"].items()]
    last = {} if document["last"] == document["best"] else document["last"]
    for heading, part in (("best", document["best"]), ("last", last), ("", document["test"])):
        rows += [
            [f"{heading} {name}".strip(), *(_number(value, name) for value in values)] for name, values in part.items()
        ]
    print_table(["", *(job["id"] for job in jobs)], rows, empty="")
    if not document["settings"]:
        console().print("All settings are the same.")


def _setting(value: Any) -> str:
    if value is None:
        return UNSET
    return f"{value:g}" if isinstance(value, float) else str(value)


def _number(value: float | None, name: str) -> str:
    if value is None:
        return UNSET
    return f"{value:.0f}" if name == "step" else f"{value:.4f}"
