"""What a job's ``model`` stands for: ours by its id or name, else the Hub's; and where it lies on this machine."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from app import storage
from app.db import reading
from app.errors import InvalidModel
from app.manifest import CorruptArtefactError
from app.model import hub, repository
from app.model.bases import base_dir, fetch_base
from app.model.inspection import TOKENIZER_CONFIG_FILE, ModelInfo, inspect_config, parse_config
from app.model.kept import bytes_at, damaged, folder_of, manifest_of
from app.model.models import Model
from app.spec.job import HUB_ID


@dataclass(frozen=True, kw_only=True)
class ModelReference:
    """What ``model`` in a job's spec stands for."""

    kind: Literal["registered", "fine-tuned", "hub"]
    folder: Path | None
    """Where a model of ours lies; ``None`` for the Hub's."""
    info: ModelInfo | None
    """``None`` when the hub could not be asked: the trainer finds out."""
    revision: str | None
    """The commit of a Hub model, pinned if the hub told it."""


def resolve_reference(model: str, *, revision: str | None) -> ModelReference:
    """The model a job wants to start from: ours by that id or name, else the Hub's.

    Raises InvalidModel when there is none, or it cannot be fine-tuned (see ``app.model.hub``); Unavailable if ours is
    damaged. No transaction is open while the hub is asked.
    """
    with reading() as session:
        row = repository.get(session, model)
    if row is not None:
        return _own_reference(row, revision=revision)
    if not HUB_ID.fullmatch(model):
        raise _unknown(model)
    found = hub.inspect_model(model, revision=revision)
    if found is None:
        return ModelReference(kind="hub", folder=None, info=None, revision=revision)
    return ModelReference(kind="hub", folder=None, info=found.info, revision=found.commit or revision)


def own_folders(model: str) -> tuple[Path | None, Path | None]:
    """Where the model of ours that a job starts from lies, each byte of it compared with its manifest; ``None``: the Hub's.

    The second folder is that of the base, if the model is attached to one.

    Raises InvalidModel when it is gone since the job was accepted, Unavailable when it is damaged.
    """
    with reading() as session:
        row = repository.get(session, model)
    if row is None:
        if HUB_ID.fullmatch(model):
            return None, None
        raise _unknown(model)
    try:
        storage.fetch_whole(folder_of(row), manifest_sha256=row.manifest_sha256)
        base = None if row.base_sha256 is None else fetch_base(row.base_sha256)
    except CorruptArtefactError as error:
        raise damaged(row) from error
    return folder_of(row), base


@dataclass(frozen=True, kw_only=True)
class PublishedModel:
    """Where a finished model lies."""

    folder: Path
    base: Path | None
    """Of an adapter: the folder of what it is attached to."""
    manifest_sha256: str


def published(model_id: str) -> PublishedModel:
    """The finished model of that id, on this machine. Raises InvalidModel when it is gone, Unavailable when the store's is damaged.

    Whoever loads it compares its bytes; a copy that is not the store's is replaced here.
    """
    with reading() as session:
        row = repository.get(session, model_id)
    if row is None:
        raise _unknown(model_id)
    base = None if row.base_sha256 is None else base_dir(row.base_sha256)
    try:
        if storage.remote_store() is not None:
            storage.fetch_whole(folder_of(row), manifest_sha256=row.manifest_sha256)
            base = base and fetch_base(base.name)
    except CorruptArtefactError as error:
        raise damaged(row) from error
    return PublishedModel(folder=folder_of(row), base=base, manifest_sha256=row.manifest_sha256)


def check_hub_dataset(name: str, config: str | None, revision: str | None) -> str | None:
    """Its commit, if the hub tells. Raises InvalidData when it says that the data set cannot be loaded (see ``app.model.hub``)."""
    return hub.check_dataset(name, config=config, revision=revision)


def _own_reference(row: Model, *, revision: str | None) -> ModelReference:
    if revision is not None:
        message = f"{row.id!r} is a model of this server, which has no revisions."
        raise InvalidModel(message, param="model_revision", code="model_revision_not_found")
    manifest_of(row)
    folder = folder_of(row)
    tokenizer = bytes_at(folder / TOKENIZER_CONFIG_FILE)
    info = inspect_config(
        row.config,
        source="upload" if row.kind == "registered" else "hub",
        tokenizer_config=None if tokenizer is None else parse_config(tokenizer, name=TOKENIZER_CONFIG_FILE),
    )
    kind = cast("Literal['registered', 'fine-tuned']", row.kind)
    return ModelReference(kind=kind, folder=folder, info=info, revision=None)


def _unknown(model: str) -> InvalidModel:
    return InvalidModel(f"There is no model {model!r}.", param="model", code="model_not_found")
