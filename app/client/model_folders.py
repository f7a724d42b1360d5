"""Folders of models on their way to the server and back, as documents."""

import shutil
import zipfile
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from tempfile import TemporaryFile
from typing import IO, Any, Final

from app.client.address import segment
from app.client.connection import Connection
from app.client.errors import LocalFileError
from app.client.transport import UPLOAD_TIMEOUT_SECONDS, FilePart

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


async def add_model(connection: Connection, name: str, folder: Path, *, shared: bool = False) -> dict[str, Any]:
    """Register the model that lies in ``folder``, ``shared`` with all projects; the server's answer. Raises LocalFileError if it holds none."""
    if not folder.is_dir():
        raise LocalFileError(
            f"There is no folder {folder}.",
            hint="Give the folder of a model saved with save_pretrained().",
            code="no_such_folder",
        )
    paths = sorted({path for pattern in MODEL_FILES for path in folder.glob(pattern) if path.is_file()})
    names = {path.name for path in paths}
    if "config.json" not in names or not any(name.endswith(".safetensors") for name in names):
        raise LocalFileError(
            f"{folder} holds no config.json with *.safetensors weights.",
            hint="Save it with save_pretrained(); weights in pickle format (*.bin) are not accepted.",
            code="not_a_model_folder",
        )
    with ExitStack() as stack:
        parts: list[FilePart] = [
            ("files", (path.name, stack.enter_context(path.open("rb")), "application/octet-stream")) for path in paths
        ]
        # The same files under the same name again are no other model.
        model: dict[str, Any] = await connection.upload(
            "/models", fields={"name": name} | ({"shared": "true"} if shared else {}), files=parts, is_repeatable=True
        )
    return model


async def download_model(connection: Connection, model_id: str, folder: Path, *, with_base: bool = True) -> list[str]:
    """Unpack a model into a new or empty folder; the names of its files. Raises LocalFileError."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise LocalFileError(f"{folder} is not empty.", hint="Choose a new or empty folder.", code="folder_not_empty")
    params = {} if with_base else {"base": "false"}
    path = f"/models/{segment(model_id)}/download"
    with TemporaryFile() as archive:
        async with connection.stream(path, params=params, timeout_seconds=UPLOAD_TIMEOUT_SECONDS) as stream:
            async for block in stream.blocks():
                archive.write(block)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            await connection.transport.call(lambda: _unpack(archive, folder))
        except OSError as error:
            raise LocalFileError(f"{folder} cannot be written: {error.strerror}", code="unwritable_file") from error
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


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
        raise LocalFileError(
            "The download broke off, or the model is damaged on the server.",
            hint="Try again; if it stays so, the server's log names the file.",
            code="bad_archive",
        ) from error
