"""``tunery keys`` and ``tunery projects``: who may call, and for whom. They work on the database of this machine's home."""

import re
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from app.cli.errors import CliError
from app.cli.output import JsonOption, console, moment, print_json, print_table
from app.cli.processes import HomeOption, load_settings

keys = typer.Typer(help="API keys. From the first one on, every request must show one.", no_args_is_help=True)
projects = typer.Typer(help="Projects: each sees only its own jobs, files, models and webhooks.", no_args_is_help=True)

MostOption = Annotated[
    int | None, typer.Option(help="The most there may be of these; -1: as the settings say.", min=-1)
]
_UNITS: Final = {"m": 60, "h": 3600, "d": 24 * 3600}


@keys.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="For people: who or what uses it.")],
    *,
    project: Annotated[str, typer.Option(help="Name or id of the project that it acts for.")] = "default",
    scopes: Annotated[
        str, typer.Option(help="What it may be used for, comma-separated: read, write, predict, metrics, admin.")
    ] = "read,write,predict",
    expires: Annotated[
        str | None, typer.Option(help="After so long it is not accepted any more: 90d, 12h, 30m. Unset: never.")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key. It is shown this once."""
    from app.key import schemas, service  # noqa: PLC0415  the database takes a while to import

    _open(home)
    wanted = {"name": name, "project": project, "scopes": [scope.strip() for scope in scopes.split(",")]}
    made = _told(
        lambda: service.create(schemas.NewKey.model_validate(wanted | {"expires_in_seconds": _seconds(expires)}))
    )
    if as_json:
        print_json(made.model_dump(mode="json"))
        return
    out = console()
    out.print(made.key, markup=False)
    out.print(f"  {made.id}  {made.name}: {', '.join(made.scopes)} in the project {made.project_id}", markup=False)
    out.print("  Send it as 'Authorization: Bearer KEY', or set TUNERY_API_KEY; it is not shown again.", markup=False)


@keys.command("ls")
def list_keys(*, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List all keys, those that are revoked included."""
    from app.key import service  # noqa: PLC0415

    _open(home)
    listed = service.list_keys()
    if as_json:
        print_json(listed.model_dump(mode="json"))
        return
    rows = [
        [
            key.id,
            key.name,
            key.project_id,
            ",".join(key.scopes),
            f"{key.prefix}_…",
            moment(key.last_used_at) or "never",
            moment(key.expires_at) or "never",
            moment(key.revoked_at) or "-",
        ]
        for key in listed.data
    ]
    columns = ["ID", "NAME", "PROJECT", "SCOPES", "KEY", "LAST USE", "EXPIRES", "REVOKED"]
    print_table(columns, rows, empty="No keys yet: tunery keys create NAME")


@keys.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(help="The key's id, not the key itself.", metavar="ID")],
    *,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Accept a key no more; a running server knows within two seconds."""
    from app.key import service  # noqa: PLC0415

    _open(home)
    revoked = _told(lambda: service.revoke(key_id))
    if as_json:
        print_json(revoked.model_dump(mode="json"))
    else:
        console().print(f"{revoked.id}  revoked", markup=False)


@projects.command("create")
def create_project(
    name: Annotated[str, typer.Argument(help="Such as the name of a team.")],
    *,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a project."""
    from app.key import projects as service  # noqa: PLC0415
    from app.key.schemas import NewProject  # noqa: PLC0415

    _open(home)
    made = _told(lambda: service.create(NewProject(name=name)))
    if as_json:
        print_json(made.model_dump(mode="json"))
    else:
        console().print(f"{made.id}  {made.name}", markup=False)


@projects.command("ls")
def list_projects(*, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List all projects."""
    from app.key import projects as service  # noqa: PLC0415

    _open(home)
    listed = service.list_projects()
    if as_json:
        print_json(listed.model_dump(mode="json"))
        return
    rows = [[project.id, project.name, moment(project.created_at)] for project in listed.data]
    print_table(["ID", "NAME", "CREATED"], rows, empty="No projects.")


@projects.command("limits")
def limit_project(
    name: Annotated[str, typer.Argument(help="Name or id of the project.")],
    *,
    queued_jobs: MostOption = None,
    running_jobs: MostOption = None,
    stored_bytes: MostOption = None,
    predictions_per_minute: MostOption = None,
    event_streams: MostOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell what a project may use, and change what is given; -1 takes a limit back, and the settings tell again."""
    from app.key import projects as service  # noqa: PLC0415
    from app.key.schemas import Limits  # noqa: PLC0415

    given = {
        "max_queued_jobs": queued_jobs,
        "max_running_jobs": running_jobs,
        "max_stored_bytes": stored_bytes,
        "max_predictions_per_minute": predictions_per_minute,
        "max_event_streams": event_streams,
    }
    _open(home)
    wanted = {limit: None if most == -1 else most for limit, most in given.items() if most is not None}
    project = _told(lambda: service.set_limits(name, Limits.model_validate(wanted)))
    if as_json:
        print_json(project.model_dump(mode="json"))
        return
    rows = [[limit, "as the settings say" if most is None else str(most)] for limit, most in project.limits]
    print_table(["LIMIT", "MOST"], rows, empty="")


def _open(home: Path | None) -> None:
    """The database of the home, brought up to date: the first key may well be made before the first start."""
    from app.stack.schema import migrate_database  # noqa: PLC0415

    migrate_database(load_settings(home=home))


def _told(action: Any) -> Any:
    """What ``action`` gives. Raises CliError for what is wrong with what was asked."""
    from pydantic import ValidationError  # noqa: PLC0415

    from app.errors import ServiceError  # noqa: PLC0415

    try:
        return action()
    except ServiceError as error:
        hint = "See what there is: tunery keys ls" if error.code == "key_not_found" else error.hint
        raise CliError(error.message, hint=hint, code=error.code) from error
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise CliError(f"{name}: {first['msg']}", code="invalid_value") from error


def _seconds(duration: str | None) -> int | None:
    if duration is None:
        return None
    match = re.fullmatch(r"(\d{1,6})([mhd])", duration)
    if match is None:
        raise CliError(
            f"{duration!r} is no duration.", hint="Write minutes, hours or days: 30m, 12h, 90d.", code="invalid_value"
        )
    return int(match[1]) * _UNITS[match[2]]
