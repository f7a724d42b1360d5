"""``tunery jobs metrics``: every value of every metric, for eyes and for spreadsheets."""

import csv
import sys
from typing import Annotated, Any

import typer

from app.cli.client import Client, segment
from app.cli.errors import CliError
from app.cli.job_actions import JobId
from app.cli.output import JsonOption, print_json, print_table
from app.client import pages


def register(app: typer.Typer) -> None:
    app.command()(metrics)


def metrics(
    job_id: JobId,
    *,
    names: Annotated[
        list[str] | None, typer.Option("--name", help="Only this metric, such as train/loss; repeatable.")
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print comma-separated values: a line for each step.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Print the curves of a job: a line for each step, a column for each metric."""
    if as_csv and as_json:
        raise CliError("Give either --csv or --json.")
    client = Client()
    points = list(client.iterate(pages.items(client.connection, f"/jobs/{segment(job_id)}/metrics", page_size=1000)))
    if names:
        known = dict.fromkeys(point["name"] for point in points)
        for name in names:
            if name not in known:
                raise CliError(
                    f"The job has no values of {name}.",
                    hint=f"It has {', '.join(known) or 'none yet'}.",
                    code="no_such_metric",
                )
        points = [point for point in points if point["name"] in names]
    if as_json:
        print_json({"data": points})
        return
    columns, lines = by_step(points)
    if as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(lines)
    else:
        rows = [[_shown(value, column) for value, column in zip(line, columns, strict=True)] for line in lines]
        print_table(columns, rows, empty="No values yet.")


def by_step(points: list[dict[str, Any]]) -> tuple[list[str], list[list[Any]]]:
    """Names of columns, and a line for each step; what a step has no value of is an empty text."""
    names = list(dict.fromkeys(point["name"] for point in points))
    steps: dict[int, dict[str, Any]] = {}
    for point in points:
        steps.setdefault(point["step"], {"epoch": point["epoch"]})[point["name"]] = point["value"]
    columns = ["step", "epoch", *names]
    return columns, [[step, *(values.get(name, "") for name in columns[1:])] for step, values in sorted(steps.items())]


def _shown(value: Any, column: str) -> str:
    if value == "" or column == "step":
        return str(value)
    return f"{value:.2f}" if column == "epoch" else f"{value:.6g}"
