"""The body of ``POST /jobs`` from the options of the command line."""

import json
from pathlib import Path
from typing import Any

import typer

from app.cli.client import Client
from app.cli.errors import CliError
from app.client import data_files


def read_spec(path: Path) -> dict[str, Any]:
    """A JSON object from a file, or from standard input when ``path`` is ``-``."""
    try:
        raw = typer.get_binary_stream("stdin").read() if str(path) == "-" else path.read_bytes()
        spec = json.loads(raw)
    except OSError as error:
        raise CliError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise CliError(f"{path} is not JSON: {error}", hint="The file holds the body of POST /jobs.") from error
    if not isinstance(spec, dict):
        raise CliError(f"{path} holds no JSON object.", hint="The file holds the body of POST /jobs.")
    return spec


def apply_setting(spec: dict[str, Any], setting: str) -> None:
    """``training.learning_rate=3e-5``: a dotted name, and a JSON value or, failing that, a text."""
    name, equals, text = setting.partition("=")
    keys = name.split(".")
    if not equals or not all(keys):
        raise CliError(f"--set {setting} is not NAME=VALUE.", hint="For example: --set training.learning_rate=3e-5")
    target = spec
    for key in keys[:-1]:
        child = target.setdefault(key, {})
        if not isinstance(child, dict):
            raise CliError(f"--set {setting}: {key} is not an object.", hint="It was given a plain value before.")
        target = child
    target[keys[-1]] = _value(text)


def _value(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except ValueError:
        return text


def _refuse(constant: str) -> Any:
    raise ValueError(constant)  # NaN and Infinity are no JSON; as a text the server says what it wants instead


def apply_metadata(spec: dict[str, Any], entries: list[str]) -> None:
    for entry in entries:
        key, equals, value = entry.partition("=")
        if not equals or not key:
            raise CliError(f"--metadata {entry} is not KEY=VALUE.", hint="For example: --metadata team=nlp")
        spec.setdefault("metadata", {})[key] = value


def resolve_data(client: Client, spec: dict[str, Any], splits: dict[str, str | None]) -> list[dict[str, Any]]:
    """Fill in ``dataset``; paths are uploaded first. Returns the uploaded files.

    With a Hub data set the values are names of splits; ``validation`` may also be a fraction, or ``auto``.
    """
    given = {split: value for split, value in splits.items() if value is not None}
    if not given:
        return []
    dataset = spec.setdefault("dataset", {})
    found = data_files.tell_apart(given, of_hub=bool(dataset.get("name")))
    missing = [f"--{split} {path}" for split, path in found.missing.items()]
    if missing:  # before anything is uploaded
        raise CliError(
            "There is no such file.",
            where=tuple(missing),
            hint="Give a path, the id of an uploaded file, or --dataset-name with a split's name.",
            code="no_such_file",
        )
    uploaded = client.run(data_files.upload_splits(client.connection, found))
    dataset.update(found.chosen, **{split: uploaded[path]["id"] for split, path in found.paths.items()})
    return list(uploaded.values())
