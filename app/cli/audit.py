"""``tunery audit``: who changed what."""

from typing import Annotated, Any

import typer

from app.cli.client import Client
from app.cli.output import JsonOption, moment, print_json, print_table


def register(app: typer.Typer) -> None:
    app.command("audit")(list_audit_events)


def list_audit_events(
    *,
    action: Annotated[str | None, typer.Option(help="Only these, such as job.create.")] = None,
    object_id: Annotated[str | None, typer.Option("--object", help="Only what was done to this.", metavar="ID")] = None,
    project: Annotated[str | None, typer.Option(help="Only what callers of this project did.", metavar="ID")] = None,
    after: Annotated[str | None, typer.Option(help="Go on behind this event.", metavar="ID")] = None,
    limit: Annotated[int, typer.Option(help="How many.", min=1, max=100)] = 20,
    as_json: JsonOption = False,
) -> None:
    """List who changed what, newest first."""
    asked = {"action": action, "object_id": object_id, "project_id": project, "after": after, "limit": limit}
    page = Client().get("/audit", **{name: value for name, value in asked.items() if value is not None})
    if as_json:
        print_json(page)
        return
    rows = [_row(event) for event in page["data"]]
    print_table(
        ["WHEN", "WHO", "ACTION", "OBJECT", "STATUS", "FROM", "REQUEST"], rows, empty="Nothing was changed yet."
    )


def _row(event: dict[str, Any]) -> list[str]:
    who = event["key_id"] or event["project_id"]
    return [
        moment(event["created_at"]),
        who or "-",
        event["action"],
        event["object_id"] or "-",
        str(event["status"]),
        event["client"] or "-",
        event["request_id"],
    ]
