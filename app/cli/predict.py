"""``tunery predict``: ask a finished model."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.client import Client
from app.cli.completion import complete_finished
from app.cli.errors import CliError
from app.cli.job_spec import apply_setting
from app.cli.output import JsonOption, print_json, print_table
from app.cli.results import OutputOption, WaitOption, see_through
from app.client import asking, data_files


def register(app: typer.Typer) -> None:
    app.command()(predict)


def predict(  # noqa: PLR0913  one parameter for each option
    text: Annotated[str | None, typer.Argument(help="The text.", metavar="TEXT")] = None,
    text_pair: Annotated[
        str | None, typer.Argument(help="The second text of a pair; of a question the context.", metavar="TEXT_PAIR")
    ] = None,
    *,
    model: Annotated[
        str, typer.Option(help="A job's id (ftjob-…) or a model's (ft:…).", autocompletion=complete_finished)
    ],
    file: Annotated[
        Path | None,
        typer.Option(
            help="JSON Lines instead of TEXT: strings, [text, text_pair], {text, text_pair}, {question, context}, {tokens} or {messages}; "
            "- is standard input."
        ),
    ] = None,
    top_k: Annotated[int | None, typer.Option(min=1, help="Only the best K labels or answers.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any of the parameters, as NAME=VALUE; repeatable.", metavar="max_new_tokens=50"),
    ] = None,
    as_stream: Annotated[
        bool, typer.Option("--stream", help="Print a generated text as it comes; for TEXT and models that generate.")
    ] = False,
    as_job: Annotated[
        bool,
        typer.Option(
            "--as-job",
            help="Have a worker predict the whole --file (JSON Lines, CSV, Parquet, or an uploaded file's id).",
        ),
    ] = False,
    waits: WaitOption = False,
    output: OutputOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask a model for the label of a text or pair of texts, the entities in it, what comes behind it, or an answer in a context."""
    inputs: list[Any]
    if (waits or output) and not as_job:
        raise CliError("--wait and --output are for --as-job.", hint="tunery predict --help")
    if (text is None) == (file is None):
        raise CliError("Give either TEXT or --file.", hint='For example: tunery predict --model ftjob-… "some text"')
    parameters: dict[str, Any] = {} if top_k is None else {"top_k": top_k}
    for setting in settings or []:
        apply_setting(parameters, setting)
    if as_job:
        if file is None or as_stream:
            raise CliError("--as-job takes a --file, and no --stream.", hint="tunery predict --help")
        client = Client()
        job = _submit(client, model, str(file), parameters=parameters)
        see_through(client, job, waits=waits, output=output, as_json=as_json)
        return
    inputs = (
        _read(file) if file is not None else [text if text_pair is None else {"text": text, "text_pair": text_pair}]
    )
    if as_stream:
        if len(inputs) > 1:
            raise CliError("--stream takes one text.", hint="Leave it out to ask for several.")
        _write_stream(Client(), model, inputs[0], parameters=parameters, as_json=as_json)
        return
    answer = ask(Client(), model, inputs, parameters=parameters)
    if as_json:
        print_json(answer)
        return
    rows = [
        ["  ".join(map(_answered, found)) or "-", _shown(given)]
        for found, given in zip(answer["predictions"], inputs, strict=True)
    ]
    print_table(["ANSWER", "TEXT"], rows, empty="No texts.")


def ask(client: Client, model: str, inputs: list[Any], *, parameters: dict[str, Any] | None = None) -> dict[str, Any]:
    """``POST /predict`` in portions; the answer as one."""
    return client.run(asking.ask(client.connection, model, inputs, parameters=parameters))


def _write_stream(client: Client, model: str, given: Any, *, parameters: dict[str, Any], as_json: bool) -> None:
    """The text on standard output as it comes; with ``--json`` the whole prediction instead."""
    answers = asking.stream_answer(client.connection, model, given, parameters=parameters)
    for kind, document in client.iterate(answers):
        if as_json and kind == "prediction":
            print_json(document)
        elif not as_json:
            sys.stdout.write(document["text"] if kind == "piece" else "\n")
            sys.stdout.flush()


def _submit(client: Client, model: str, file: str, *, parameters: dict[str, Any]) -> dict[str, Any]:
    """The job that predicts the file, which is uploaded unless it is there."""
    file_id = client.run(data_files.file_id_of(client.connection, file))
    job = client.make_job("/predict/batch", {"model": model, "file": file_id, "parameters": parameters})
    assert isinstance(job, dict)
    return job


def _read(path: Path) -> list[Any]:
    try:
        raw = typer.get_binary_stream("stdin").read() if str(path) == "-" else path.read_bytes()
        lines = raw.decode("utf-8-sig").split("\n")  # splitlines() would also split inside of texts
    except OSError as error:
        raise CliError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CliError(f"{path} is not UTF-8 text.") from error
    found = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError as error:
            raise CliError(
                f"{path} is not JSON Lines: {error}",
                where=(f"line {number}",),
                hint='One per line: "text" or {"text": …}',
            ) from error
        if isinstance(value, list):
            if len(value) != 2:
                raise CliError(f"{path} holds a list that is no pair.", where=(f"line {number}",))
            value = {"text": value[0], "text_pair": value[1]}
        found.append(value)
    if not found:
        raise CliError(f"{path} holds no texts.")
    return found


def _answered(entry: dict[str, Any]) -> str:
    """A label, an entity with its text, an answer, or a text."""
    if "answer" in entry:
        return f"{entry['answer'] or '(no answer)'} {entry['score']:.4f}"
    if "generated_text" in entry:
        return str(entry["generated_text"])
    if "entity_group" in entry:
        return f"{entry['entity_group']} {entry['score']:.4f} “{entry['word']}”"
    return f"{entry['label']} {entry['score']:.4f}"


def _shown(given: Any) -> str:
    if isinstance(given, dict) and isinstance(given.get("tokens"), list):
        given = " ".join(map(str, given["tokens"]))
    text = given if isinstance(given, str) else " | ".join(str(value) for value in given.values())
    return text if len(text) <= 100 else text[:99] + "…"
