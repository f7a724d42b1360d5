"""``tunery files``: data files on the server."""

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from app.cli.client import Client, segment
from app.cli.completion import complete_file
from app.cli.output import JsonOption, console, human_bytes, moment, print_json, print_table
from app.client import data_files

MOST_VALUES: Final = 50
"""A column with more different values is none of classes."""

app = typer.Typer(help="Data files: JSON Lines, CSV or Parquet.", no_args_is_help=True)


def upload_file(client: Client, path: Path, *, purpose: str = "fine-tune") -> dict[str, Any]:
    """Upload and let the server check it; its answer is the file with its profile."""
    return client.run(data_files.upload_file(client.connection, path, purpose=purpose))


def save_file(client: Client, file_id: str, path: Path) -> None:
    """Write the file's bytes to ``path``, which is whole or not there."""
    client.run(data_files.save(client.connection, data_files.content_path(file_id), path))


FileId = Annotated[str, typer.Argument(help="The file.", metavar="ID", autocompletion=complete_file)]


@app.command()
def upload(
    path: Annotated[Path, typer.Argument(help="The file.", metavar="PATH")],
    *,
    purpose: Annotated[str, typer.Option(help="What it is for.")] = "fine-tune",
    as_json: JsonOption = False,
) -> None:
    """Upload a data file; it is checked on the way."""
    file = upload_file(Client(), path, purpose=purpose)
    if as_json:
        print_json(file)
    else:
        _print_file(file)


@app.command("ls")
def list_files(
    *,
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many, newest first.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """List the files."""
    page = Client().get("/files", limit=limit)
    if as_json:
        print_json(page)
        return
    rows = [
        [
            file["id"],
            str(file.get("filename", "")),
            human_bytes(file["bytes"]),
            _rows(file),
            moment(file.get("created_at")),
        ]
        for file in page["data"]
    ]
    print_table(["ID", "NAME", "SIZE", "ROWS", "CREATED"], rows, empty="No files yet: tunery files upload PATH")


@app.command()
def show(file_id: FileId, *, as_json: JsonOption = False) -> None:
    """Show a file and what is known of its columns."""
    file = Client().get(f"/files/{segment(file_id)}")
    if as_json:
        print_json(file)
    else:
        _print_file(file)


@app.command()
def rm(file_id: FileId, *, as_json: JsonOption = False) -> None:
    """Delete a file; refused while a job that has not ended needs it."""
    deleted = Client().delete(f"/files/{segment(file_id)}")
    if as_json:
        print_json(deleted)
    else:
        console().print(f"{file_id}  deleted", markup=False)


@app.command()
def download(
    file_id: FileId,
    path: Annotated[Path, typer.Argument(help="Where to write it.", metavar="PATH")],
    *,
    as_json: JsonOption = False,
) -> None:
    """Download a file, such as the result of a job."""
    save_file(Client(), file_id, path)
    if as_json:
        print_json({"id": file_id, "path": str(path), "bytes": path.stat().st_size})
    else:
        console().print(f"{path}: {human_bytes(path.stat().st_size)}", markup=False)


def _print_file(file: dict[str, Any]) -> None:
    out = console()
    rows = "" if file["num_rows"] is None else f"  {file['num_rows']:,} rows"
    out.print(f"{file['id']}  {file['filename']}  {human_bytes(file['bytes'])}{rows}", markup=False)
    if file["purpose"] != "fine-tune":
        out.print(f"  {file['purpose']}{' of ' + file['job_id'] if file.get('job_id') else ''}", markup=False)
    for line in _profile_lines(file.get("profile") or {}):
        out.print(f"  {line}", markup=False)


def _rows(file: dict[str, Any]) -> str:
    return "-" if file["num_rows"] is None else f"{file['num_rows']:,}"


def _profile_lines(profile: dict[str, Any]) -> list[str]:
    lines = []
    for column in profile.get("columns", []):
        kinds = ", ".join(column.get("kinds", {}))
        values = column.get("values")
        if values is None:
            told = ""
        elif len(values) > MOST_VALUES:
            told = f": {len(values):,} different values"
        else:
            more = f" and {len(values) - 8} more" if len(values) > 8 else ""
            told = ": " + ", ".join(f"{v['value']} ×{v['count']}" for v in values[:8]) + more
        lines.append(f"{column['name']} ({kinds}){told}")
    return lines
