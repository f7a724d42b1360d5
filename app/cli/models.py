"""``tunery models``: what can be fine-tuned and what can be asked."""

import shutil
import zipfile
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from tempfile import TemporaryFile
from typing import IO, Annotated, Any, Final

import typer

from app.cli.client import UPLOAD_TIMEOUT_SECONDS, Client, segment
from app.cli.errors import CliError
from app.cli.output import JsonOption, console, human_bytes, print_json, print_table
from app.cli.results import OutputOption, WaitOption, see_through

app = typer.Typer(help="Models: base models and fine-tuned ones.", no_args_is_help=True)

MODEL_FILES: Final = (
    "config.json",
    "*.safetensors",
    "*.safetensors.index.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
)
"""What a model needs to be trained; pickles and code are never sent."""


def add_model(client: Client, name: str, folder: Path) -> dict[str, Any]:
    """Register the model that lies in ``folder``; the server's answer."""
    if not folder.is_dir():
        raise CliError(f"There is no folder {folder}.", hint="Give the folder of a model saved with save_pretrained().")
    paths = sorted({path for pattern in MODEL_FILES for path in folder.glob(pattern) if path.is_file()})
    names = {path.name for path in paths}
    if "config.json" not in names or not any(name.endswith(".safetensors") for name in names):
        raise CliError(
            f"{folder} holds no config.json with *.safetensors weights.",
            hint="Save it with save_pretrained(); weights in pickle format (*.bin) are not accepted.",
            code="not_a_model_folder",
        )
    with ExitStack() as stack:
        parts = [
            ("files", (path.name, stack.enter_context(path.open("rb")), "application/octet-stream")) for path in paths
        ]
        answer = client.upload("/models", fields={"name": name}, files=parts)
    assert isinstance(answer, dict)
    return answer


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="What jobs will call it.", metavar="NAME")],
    folder: Annotated[Path, typer.Argument(help="Where save_pretrained() put it.", metavar="FOLDER")],
    *,
    as_json: JsonOption = False,
) -> None:
    """Register a base model from a folder on this machine."""
    model = add_model(Client(), name, folder)
    if as_json:
        print_json(model)
        return
    size = model.get("size_bytes")
    console().print(f"{model['id']}  registered{'' if size is None else f', {human_bytes(size)}'}", markup=False)


@app.command("ls")
def list_models(
    *,
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many, newest first.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """List the models."""
    page = Client().get("/models", limit=limit)
    if as_json:
        print_json(page)
        return
    rows = [
        [
            model["id"],
            str(model.get("kind", "")),
            str(model.get("base_model") or ""),
            "" if model.get("size_bytes") is None else human_bytes(model["size_bytes"]),
            str(model.get("created_at", ""))[:19],
        ]
        for model in page["data"]
    ]
    print_table(
        ["ID", "KIND", "BASE MODEL", "SIZE", "CREATED"], rows, empty="No models yet: tunery models add NAME FOLDER"
    )


@app.command()
def download(
    model_id: Annotated[str, typer.Argument(help="The model.", metavar="ID")],
    folder: Annotated[Path, typer.Argument(help="Where to put it: a new or empty folder.", metavar="DIR")],
    *,
    as_json: JsonOption = False,
) -> None:
    """Download a model; the folder loads with from_pretrained()."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CliError(f"{folder} is not empty.", hint="Choose a new or empty folder.", code="folder_not_empty")
    with TemporaryFile() as archive:
        with Client().stream(f"/models/{segment(model_id)}/download", timeout=UPLOAD_TIMEOUT_SECONDS) as response:
            for block in response.iter_bytes():
                archive.write(block)
        folder.mkdir(parents=True, exist_ok=True)
        _unpack(archive, folder)
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    if as_json:
        print_json({"id": model_id, "folder": str(folder), "files": files})
    else:
        console().print(f"{folder}: {', '.join(files)}", markup=False)


@app.command()
def export(
    model_id: Annotated[str, typer.Argument(help="A finished model (ft:…), or the job that made it.", metavar="ID")],
    *,
    format_: Annotated[str, typer.Option("--format", help="What to write it down as.")] = "onnx",
    waits: WaitOption = False,
    output: OutputOption = None,
    as_json: JsonOption = False,
) -> None:
    """Have a worker export a model; the result is a zip."""
    client = Client()
    job = client.post(f"/models/{segment(model_id)}/export", {"format": format_})
    see_through(client, job, waits=waits, output=output, as_json=as_json)


def _unpack(archive: IO[bytes], folder: Path) -> None:
    """The zip's files into ``folder``, without the one folder they lie in."""
    archive.seek(0)
    try:
        with zipfile.ZipFile(archive) as zipped:
            for member in zipped.infolist():
                parts = PurePosixPath(member.filename).parts[1:]
                if member.is_dir() or not parts or ".." in parts:
                    continue
                target = folder.joinpath(*parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                with zipped.open(member) as source, target.open("wb") as copy:
                    shutil.copyfileobj(source, copy, 2**20)
    except zipfile.BadZipFile as error:
        raise CliError(
            "The download broke off, or the model is damaged on the server.",
            hint="Try again; if it stays so, the server's log names the file.",
            code="bad_archive",
        ) from error
