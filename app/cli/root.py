"""The command tree, and what happens to an error that reaches its root."""

import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer

from app.cli import (
    audit,
    demo,
    files,
    hub_token,
    jobs,
    keys,
    models,
    predict,
    processes,
    sweeps,
    verify,
    webhooks,
    workers,
)
from app.cli.errors import CliError
from app.cli.output import print_error
from app.stack.errors import StartError

HELP = """Fine-tune Hugging Face models on your own machines.

`tunery demo` shows everything in a minute or two; `tunery up` starts the service.
All other commands talk to the server at TUNERY_URL (http://127.0.0.1:8000), with TUNERY_API_KEY if it is set.
"""

app = typer.Typer(help=HELP, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode="markdown")
app.add_typer(files.app, name="files")
app.add_typer(models.app, name="models")
app.add_typer(jobs.app, name="jobs")
app.add_typer(sweeps.app, name="sweeps")
app.add_typer(webhooks.app, name="webhooks")
app.add_typer(hub_token.app, name="hub-token")
app.add_typer(keys.keys, name="keys")
app.add_typer(keys.projects, name="projects")
predict.register(app)
processes.register(app)
workers.register(app)
audit.register(app)
verify.register(app)
demo.register(app)


def _print_version(*, value: bool) -> None:
    if value:
        try:
            typer.echo(version("tunery"))
        except PackageNotFoundError:
            typer.echo("unknown: Tunery runs from a folder that was not installed")
        raise typer.Exit


@app.callback()
def _root(
    *,
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    pass


def run() -> None:
    try:
        app()
    except (CliError, StartError) as error:
        wrapped = (
            error if isinstance(error, CliError) else CliError(error.message, hint=error.hint, code="cannot_start")
        )
        print_error(wrapped, as_json="--json" in sys.argv[1:])
        sys.exit(1)
