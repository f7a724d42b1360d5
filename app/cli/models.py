"""``tunery models``: what can be fine-tuned and what can be asked."""

from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.client import Client, segment
from app.cli.completion import complete_model
from app.cli.output import JsonOption, console, human_bytes, moment, print_fields, print_json, print_table
from app.cli.results import OutputOption, WaitOption, see_through
from app.client import model_folders

app = typer.Typer(help="Models: base models and fine-tuned ones.", no_args_is_help=True)

ModelId = Annotated[str, typer.Argument(help="The model.", metavar="ID", autocompletion=complete_model)]


def add_model(client: Client, name: str, folder: Path, *, shared: bool = False) -> dict[str, Any]:
    """Register the model that lies in ``folder``; the server's answer."""
    return client.run(model_folders.add_model(client.connection, name, folder, shared=shared))


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="What jobs will call it.", metavar="NAME")],
    folder: Annotated[Path, typer.Argument(help="Where save_pretrained() put it.", metavar="FOLDER")],
    *,
    shared: Annotated[bool, typer.Option("--shared", help="Let all projects use it; for admins.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Register a base model from a folder on this machine."""
    model = add_model(Client(), name, folder, shared=shared)
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
            moment(model.get("created_at")),
        ]
        for model in page["data"]
    ]
    print_table(
        ["ID", "KIND", "BASE MODEL", "SIZE", "CREATED"], rows, empty="No models yet: tunery models add NAME FOLDER"
    )


@app.command()
def show(model_id: ModelId, *, as_json: JsonOption = False) -> None:
    """Show a model: what it is, how good it is, and its files."""
    model = Client().get(f"/models/{segment(model_id)}")
    if as_json:
        print_json(model)
        return
    shown = {
        "model": model["id"],
        "kind": model["kind"],
        "base model": model["base_model"],
        "job": model["job_id"],
        "task": model["task"],
        "labels": ", ".join(model["labels"] or []),
        "metrics": ", ".join(f"{name} {value:.4f}" for name, value in model["metrics"].items()),
        "weights": f"sha256 {model['weights_sha256']}",
        "size": human_bytes(model["size_bytes"]),
        "created": moment(model["created_at"]),
    }
    print_fields(shown)
    rows = [[file["name"], human_bytes(file["size_bytes"])] for file in model["files"]]
    print_table(["FILE", "SIZE"], rows, empty="")


@app.command()
def rm(model_id: ModelId, *, as_json: JsonOption = False) -> None:
    """Delete a model; refused while a job that has not ended needs it."""
    deleted = Client().delete(f"/models/{segment(model_id)}")
    if as_json:
        print_json(deleted)
    else:
        console().print(f"{model_id}  deleted", markup=False)


@app.command()
def download(
    model_id: ModelId,
    folder: Annotated[Path, typer.Argument(help="Where to put it: a new or empty folder.", metavar="DIR")],
    *,
    with_base: Annotated[
        bool, typer.Option("--base/--no-base", help="Of an attached adapter: with what it is attached to.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Download a model; the folder loads with from_pretrained()."""
    client = Client()
    files = client.run(model_folders.download_model(client.connection, model_id, folder, with_base=with_base))
    if as_json:
        print_json({"id": model_id, "folder": str(folder), "files": files})
    else:
        console().print(f"{folder}: {', '.join(files)}", markup=False)


@app.command()
def export(
    model_id: Annotated[
        str,
        typer.Argument(
            help="A finished model (ft:…), or the job that made it.", metavar="ID", autocompletion=complete_model
        ),
    ],
    *,
    format_: Annotated[str, typer.Option("--format", help="What to write it down as.")] = "onnx",
    waits: WaitOption = False,
    output: OutputOption = None,
    as_json: JsonOption = False,
) -> None:
    """Have a worker export a model; the result is a zip."""
    client = Client()
    job = client.make_job(f"/models/{segment(model_id)}/export", {"format": format_})
    see_through(client, job, waits=waits, output=output, as_json=as_json)
