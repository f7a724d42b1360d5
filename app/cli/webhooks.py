"""``tunery webhooks``: who is told how jobs end."""

from typing import Annotated

import typer

from app.cli.client import Client, segment
from app.cli.output import JsonOption, console, print_json, print_table

app = typer.Typer(help="Webhooks: URLs that are told how jobs end.", no_args_is_help=True)


@app.command()
def add(
    url: Annotated[str, typer.Argument(help="Where to send events.", metavar="URL")],
    *,
    event: Annotated[
        list[str] | None,
        typer.Option(help="One to be told of, such as fine_tuning.job.failed; may be given again. Unset: all."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Have a URL told how jobs end. The secret is shown this once."""
    webhook = Client().post("/webhooks", {"url": url} | ({"events": event} if event else {}))
    if as_json:
        print_json(webhook)
        return
    out = console()
    out.print(f"{webhook['id']}  {webhook['url']}", markup=False)
    out.print(f"  secret: {webhook['secret']}", markup=False)
    out.print("  The receiver checks signatures with it; it is not shown again.", markup=False)


@app.command("ls")
def list_webhooks(*, as_json: JsonOption = False) -> None:
    """List the webhooks, and how they fare."""
    webhooks = Client().get("/webhooks")
    if as_json:
        print_json(webhooks)
        return
    rows = [
        [
            webhook["id"],
            webhook["url"],
            ", ".join(webhook["events"] or ["all"]),
            *(str(webhook["deliveries"][state]) for state in ("delivered", "pending", "given_up")),
            webhook["last_error"] or "-",
        ]
        for webhook in webhooks["data"]
    ]
    columns = ["ID", "URL", "EVENTS", "DELIVERED", "PENDING", "GIVEN UP", "LAST ERROR"]
    print_table(columns, rows, empty="No webhooks yet: tunery webhooks add URL")


@app.command("rm")
def remove(
    webhook_id: Annotated[str, typer.Argument(help="The webhook.", metavar="ID")], *, as_json: JsonOption = False
) -> None:
    """Delete a webhook, and forget what it was still to be told."""
    deleted = Client().delete(f"/webhooks/{segment(webhook_id)}")
    if as_json:
        print_json(deleted)
    else:
        console().print(f"{webhook_id}  deleted", markup=False)
