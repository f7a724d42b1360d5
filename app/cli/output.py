"""What commands print: tables and sentences for people, or exactly one JSON document for programs."""

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.errors import CliError

if TYPE_CHECKING:
    from rich.console import Console

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]


def print_json(document: Any) -> None:
    """One document on one line of standard output."""
    sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def console() -> "Console":
    """Standard output; obeys ``NO_COLOR``, and prints ids and texts as they are."""
    from rich.console import Console  # noqa: PLC0415

    return Console(highlight=False, soft_wrap=True)


def print_table(columns: list[str], rows: list[list[str]], *, empty: str) -> None:
    """A table without borders, or the sentence ``empty``. Ids are never cut, so that they can be copied."""
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    if not rows:
        console().print(empty, markup=False)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, no_wrap=True)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    out = console()
    out.width = max(out.width, sum(max(len(c) for c in cells) + 2 for cells in zip(columns, *rows, strict=True)))
    out.print(table)


def print_fields(fields: dict[str, str | None]) -> None:
    """A line for each field that has a value."""
    out = console()
    for name, value in fields.items():
        if value:
            out.print(f"{name:<11}{value}", markup=False)


def moment(instant: object) -> str:
    """An instant of the API, to the second."""
    return str(instant or "")[:19]


def print_error(error: CliError, *, as_json: bool) -> None:
    """The error for people on standard error; with ``--json`` also as the one document on standard output."""
    from rich.console import Console  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    err = Console(stderr=True, highlight=False, soft_wrap=True)
    err.print(Text("error: ", style="bold red") + Text(error.message, style="default"))
    for place in error.where:
        err.print(f"  {place}", markup=False)
    if error.hint:
        err.print(Text("hint: ", style="bold") + Text(error.hint))
    if as_json:
        print_json(error.as_document())


def print_notice(message: str) -> None:
    """Something to know meanwhile, on standard error."""
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()


def human_bytes(count: float) -> str:
    for unit in ("B", "KB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def human_seconds(seconds: float) -> str:
    """``0:42``, ``12:05``, ``3:01:10``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
