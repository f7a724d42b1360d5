"""``tunery verify``: is everything there that was ever accepted, and whole?"""

from typing import Annotated

import typer

from app.cli.errors import CliError
from app.cli.output import JsonOption, console, print_json
from app.cli.processes import HomeOption, load_settings


def register(app: typer.Typer) -> None:
    app.command()(verify)


def verify(
    *,
    home: HomeOption = None,
    quick: Annotated[bool, typer.Option("--quick", help="Do not read every byte of every artefact.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Compare database, artefacts and processes on this machine; the exit code is 1 if anything is wrong."""
    from app import verify as checks  # noqa: PLC0415  what it needs takes a while to import

    settings = load_settings(home=home)
    found = list(checks.verify(thorough=not quick))
    if as_json:
        print_json({"findings": [vars(finding) for finding in found]})
    else:
        for finding in found:
            console().print(f"{finding.subject}  {finding.kind}  {finding.message}", markup=False)
    if not found:
        if not as_json:
            console().print(f"All is well in {settings.home_dir}.", markup=False)
        return
    if as_json:
        raise typer.Exit(1)
    raise CliError(
        "One thing is wrong." if len(found) == 1 else f"{len(found)} things are wrong.",
        hint="Restore damaged artefacts from a backup; jobs can be retried.",
    )
