"""``tunery workers``: who runs the jobs, and on what."""

from typing import Any

import typer

from app.cli.client import Client
from app.cli.output import JsonOption, print_json, print_table


def register(app: typer.Typer) -> None:
    app.command("workers")(list_workers)


def list_workers(*, as_json: JsonOption = False) -> None:
    """List the workers that are present, what they have and what they run."""
    workers = Client().get("/workers")
    if as_json:
        print_json(workers)
        return
    rows = [
        [
            worker["id"],
            worker["name"] or "-",
            _gpus(worker["gpus"]),
            "-" if worker["cpus"] is None else str(worker["cpus"]),
            _gigabytes(worker["memory_bytes"]),
            worker["takes"],
            f"{worker['num_running']}/{worker['slots']}",
            ", ".join(worker["jobs"]) or "-",
        ]
        for worker in workers["data"]
    ]
    columns = ["ID", "MACHINE", "GPUS", "CPUS", "MEMORY", "TAKES", "RUNNING", "JOBS"]
    print_table(columns, rows, empty="No workers: tunery up or tunery worker starts one")


def _gpus(gpus: list[dict[str, Any]]) -> str:
    """Those that are alike are counted."""
    told = [f"{gpu['name'] or 'GPU'} ({_gigabytes(gpu['memory_bytes'])})" for gpu in gpus]
    return ", ".join(f"{told.count(one)} x {one}" for one in dict.fromkeys(told)) or "none"


def _gigabytes(size: int | None) -> str:
    return "?" if size is None else f"{size / 1e9:.0f} GB"
