"""``tunery up``, and the parts of it one by one, which is what the images run."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from app.config import Settings

HomeOption = Annotated[
    Path | None,
    typer.Option("--home", help="Folder of all that is kept [TUNERY_HOME, ~/.tunery].", file_okay=False),
]
HostOption = Annotated[str | None, typer.Option("--host", help="Address to listen on [TUNERY_HOST, 127.0.0.1].")]
PortOption = Annotated[
    int | None,
    typer.Option("--port", help="Port to listen on; 0 is any free one [TUNERY_PORT, 8000].", min=0, max=65535),
]


def register(app: typer.Typer) -> None:
    app.command()(up)
    for command in (serve, worker, predictor, migrate):
        app.command(rich_help_panel="Parts of the service")(command)


def up(*, host: HostOption = None, port: PortOption = None, home: HomeOption = None) -> None:
    """Start the whole service on this machine; Ctrl-C stops it."""
    from setproctitle import setproctitle  # noqa: PLC0415

    from app.stack import supervisor  # noqa: PLC0415

    settings = load_settings(home=home, host=host, port=port)
    setproctitle(f"tunery up --home {settings.home_dir} --host {settings.host} --port {settings.port}")
    raise typer.Exit(supervisor.up(settings, on_ready=supervisor.print_ready))


def serve(
    *,
    host: HostOption = None,
    port: PortOption = None,
    home: HomeOption = None,
    descriptor: Annotated[int | None, typer.Option(hidden=True, help="Listening socket to take over.")] = None,
) -> None:
    """Run the API."""
    from app.stack import server  # noqa: PLC0415

    server.serve(load_settings(home=home, host=host, port=port), descriptor=descriptor)


def worker(*, home: HomeOption = None) -> None:
    """Run a worker."""
    from app.stack.commands import torch_environment, worker_command  # noqa: PLC0415

    settings = load_settings(home=home)
    _become(worker_command(settings), torch_environment(settings))


def predictor(*, home: HomeOption = None) -> None:
    """Run a predictor."""
    from app.stack.commands import predictor_command, predictor_environment  # noqa: PLC0415

    settings = load_settings(home=home)
    _become(predictor_command(settings), predictor_environment(settings))


def migrate(*, home: HomeOption = None) -> None:
    """Bring the database to the version of the code."""
    from app.stack.schema import migrate_database  # noqa: PLC0415

    migrate_database(load_settings(home=home))


def _become(command: list[str], environment: dict[str, str]) -> None:
    """Turn into ``command``, so that signals reach it without a process between."""
    os.execve(command[0], command, environment)  # noqa: S606


def load_settings(*, home: Path | None, host: str | None = None, port: int | None = None) -> "Settings":
    """The settings with the options of the command line, which are also what child processes will read."""
    from app import log  # noqa: PLC0415
    from app.config import get_settings  # noqa: PLC0415
    from app.stack.home import prepare_folders  # noqa: PLC0415

    for name, value in (("TUNERY_HOME", home), ("TUNERY_HOST", host), ("TUNERY_PORT", port)):
        if value is not None:
            os.environ[name] = str(value)
    get_settings.cache_clear()
    settings = get_settings()
    prepare_folders(settings)
    log.configure(settings)
    return settings
