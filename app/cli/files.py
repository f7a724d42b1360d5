"""``tunery files``: data files on the server."""

import mimetypes
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.client import UPLOAD_TIMEOUT_SECONDS, Client, segment
from app.cli.errors import CliError
from app.cli.output import JsonOption, console, human_bytes, print_json, print_table

app = typer.Typer(help="Data files: JSON Lines, CSV or Parquet.", no_args_is_help=True)


def upload_file(client: Client, path: Path, *, purpose: str = "fine-tune") -> dict[str, Any]:
    """Upload and let the server check it; its answer is the file with its profile."""
    if not path.is_file():
        raise CliError(
            f"There is no file {path}.", hint="Give the path of a JSONL, CSV or Parquet file.", code="no_such_file"
        )
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    try:
        with path.open("rb") as content:
            answer = client.upload("/files", fields={"purpose": purpose}, files=[("file", (path.name, content, kind))])
    except PermissionError as error:
        raise CliError(f"The file {path} may not be read.", code="unreadable_file") from error
    except CliError as error:
        if error.document is not None:  # the server's complaint is about this file; say which
            error.where = (f"in {path}", *error.where)
        raise
    assert isinstance(answer, dict)
    return answer


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
        return
    out = console()
    out.print(f"{file['id']}  {path.name}  {_rows(file)} rows", markup=False)
    for line in _profile_lines(file.get("profile") or {}):
        out.print(f"  {line}", markup=False)


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
            str(file.get("created_at", ""))[:19],
        ]
        for file in page["data"]
    ]
    print_table(["ID", "NAME", "SIZE", "ROWS", "CREATED"], rows, empty="No files yet: tunery files upload PATH")


def save_file(client: Client, file_id: str, path: Path) -> None:
    """Write the file's bytes to ``path``, which is whole or not there."""
    part = path.with_name(f"{path.name}.part")
    try:
        content = client.stream(f"/files/{segment(file_id)}/content", timeout=UPLOAD_TIMEOUT_SECONDS)
        with content as response, part.open("wb") as target:
            for block in response.iter_bytes():
                target.write(block)
        part.replace(path)
    except OSError as error:
        raise CliError(f"{path} cannot be written: {error.strerror}", code="unwritable_file") from error
    finally:
        part.unlink(missing_ok=True)


@app.command()
def download(
    file_id: Annotated[str, typer.Argument(help="The file.", metavar="ID")],
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


def _rows(file: dict[str, Any]) -> str:
    return "-" if file["num_rows"] is None else f"{file['num_rows']:,}"


def _profile_lines(profile: dict[str, Any]) -> list[str]:
    lines = []
    for column in profile.get("columns", []):
        kinds = ", ".join(column.get("kinds", {}))
        values = column.get("values")
        counts = "" if not values else ": " + ", ".join(f"{v['value']} ×{v['count']}" for v in values[:8])
        more = f" and {len(values) - 8} more" if values and len(values) > 8 else ""
        lines.append(f"{column['name']} ({kinds}){counts if len(values or []) <= 50 else ''}{more}")
    return lines
