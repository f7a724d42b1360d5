"""``tunery hub-token``: the token that jobs read gated and private repositories of the Hub with."""

import sys
from typing import Any

import typer

from app.cli.client import Client
from app.cli.errors import CliError
from app.cli.output import JsonOption, console, print_json

app = typer.Typer(help="The token that jobs read the Hugging Face Hub with.", no_args_is_help=True)


@app.command("set")
def set_token(*, as_json: JsonOption = False) -> None:
    """Set the token: asked for on a terminal, else read from standard input. It is kept encrypted, and not shown again.

    It is no argument: those stand in the process list and in the shell's history.
    """
    token = (typer.prompt("Token", hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.read()).strip()
    if not token:
        raise CliError("There is no token on standard input.", hint="tunery hub-token set < FILE")
    _tell(Client().put("/hub-token", {"token": token}), as_json=as_json)


@app.command()
def show(*, as_json: JsonOption = False) -> None:
    """Whether there is a token, since when, and its last four characters."""
    _tell(Client().get("/hub-token"), as_json=as_json)


@app.command()
def remove(*, as_json: JsonOption = False) -> None:
    """Forget the token."""
    removed = Client().delete("/hub-token")
    if as_json:
        print_json(removed)
    else:
        console().print("the token is forgotten" if removed["deleted"] else "there was none", markup=False)


def _tell(token: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(token)
    elif not token["is_set"]:
        console().print("There is no Hub token: tunery hub-token set", markup=False)
    else:
        ending = f", ends in {token['last_four']}" if token["last_four"] else ""
        console().print(f"A Hub token is set since {token['set_at']}{ending}", markup=False)
