"""Jobs that write files: wait for them, and fetch what they wrote."""

from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.client import Client
from app.cli.files import save_file
from app.cli.follow import wait
from app.cli.job_actions import exit_as, tell_outage
from app.cli.job_text import print_ending
from app.cli.output import console, print_json

WaitOption = Annotated[bool, typer.Option("--wait", help="Wait until the job has ended; the exit code tells how.")]
OutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", help="Wait, and write the result there.", metavar="PATH")
]


def see_through(client: Client, job: dict[str, Any], *, waits: bool, output: Path | None, as_json: bool) -> None:
    """Tell of a job that was accepted; if asked to, wait until it has ended and fetch its file. Exits with 1 if it failed."""
    if not as_json:
        console().print(f"{job['id']}  {job['status']}", markup=False)
    if not waits and output is None:
        if as_json:
            print_json(job)
        else:
            console().print(f"follow it: tunery jobs logs -f {job['id']}", markup=False)
        return
    job = wait(client, job["id"], on_outage=tell_outage)
    if output is not None:
        for file_id in job["result_files"]:
            save_file(client, file_id, output)
    if as_json:
        print_json(job)
    else:
        print_ending(job)
        if output is not None and job["result_files"]:
            console().print(f"  written to {output}", markup=False)
    exit_as(job)
