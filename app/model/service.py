"""What can be asked of models: list, look at, register, download, delete; and what a job's ``model`` stands for."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, cast

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app import caller, failpoints, ids, storage
from app.audit import made
from app.clock import utc_now
from app.config import get_settings
from app.db import reading, transaction
from app.disk import full_disk_told, refuse_without_room
from app.errors import Conflict, Forbidden, InvalidModel, InvalidRequest, NotFound, TooLarge, Unavailable
from app.file import quota
from app.key.scopes import Scope
from app.manifest import CorruptArtefactError, Manifest, committed_folder, read_manifest
from app.model import hub, repository
from app.model.archive import ArchivedFolder, stream_zip
from app.model.bases import base_dir, fetch_base, look_at_base, place_base, remove_unused
from app.model.inspection import CONFIG_FILE, TOKENIZER_CONFIG_FILE, ModelInfo, inspect_config, labels_of, parse_config
from app.model.models import Model
from app.model.publishing import MODELS_FOLDER, models_dir, place, publish, remove_folder, remove_strays
from app.model.schemas import DeletedModelOut, ModelDetailOut, ModelFileOut, ModelOut, ModelPage
from app.model.upload import CARD_FILE, IncomingPart, inspect_folder, receive
from app.spec.job import HUB_ID, check_reference
from app.storage import StoreUnavailable

__all__ = [
    "ModelReference",
    "check_hub_dataset",
    "check_name",
    "delete_model",
    "delete_within",
    "discard_within",
    "download",
    "get_model",
    "list_models",
    "own_folders",
    "place",
    "place_base",
    "publish",
    "published",
    "register",
    "remove_folder",
    "remove_strays",
    "remove_unused",
    "resolve_reference",
]

_ROUTE_ENDINGS: Final = frozenset({"info", "health", "predict", "download", "export", "files"})
"""``/models/{id}/info`` and the like are routes; a name that ends so could not be asked for."""
_RESERVED: Final = re.compile(r"(ftjob|ftevent|ftckpt|file|sweep)-.*")
_SHOWN_CONFIG: Final = (
    "model_type",
    "architectures",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "vocab_size",
    "problem_type",
)


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


def list_models(*, after: str | None, limit: int) -> ModelPage:
    """Newest first; ``after`` is the id of the last model of the page before. Raises InvalidRequest if it is unknown."""
    with reading() as session:
        last = None if after is None else _find(session, after)
        if after is not None and last is None:
            raise InvalidRequest(f"There is no model {after!r} to list from.", param="after", code="unknown_cursor")
        rows = repository.page(session, after=last, limit=limit)
    data = [_out(row) for row in rows[:limit]]
    return ModelPage(
        data=data,
        has_more=len(rows) > limit,
        first_id=data[0].id if data else None,
        last_id=data[-1].id if data else None,
    )


def get_model(model_id: str) -> ModelDetailOut:
    """Raises NotFound, or Unavailable if its files are damaged."""
    with reading() as session:
        row = _require(session, model_id)
    manifest = _manifest(row)
    files = [
        ModelFileOut(name=name, size_bytes=entry["bytes"], sha256=entry["sha256"])
        for name, entry in manifest.files.items()
    ]
    return ModelDetailOut(
        **_out(row).model_dump(),
        files=files,
        config={key: row.config[key] for key in _SHOWN_CONFIG if key in row.config},
        card=_text(_folder(row) / CARD_FILE),
    )


def download(model_id: str, *, with_base: bool = True) -> tuple[str, Iterator[bytes]]:
    """A file name, and the model's folder as a zip, that of an adapter with its base unless told otherwise.

    Raises NotFound, or Unavailable if its files are damaged.
    """
    with reading() as session:
        row = _require(session, model_id)
    manifest = _manifest(row)
    name = re.sub(r"[^A-Za-z0-9.-]+", "_", row.id).strip("._")
    folders = [ArchivedFolder(path=_folder(row), files=manifest.files, name=name)]
    if with_base and row.base_sha256 is not None:
        config = ArchivedFolder(
            path=_folder(row), files={CONFIG_FILE: manifest.files[CONFIG_FILE]}, name=f"{name}/base"
        )
        weights = look_at_base(row.base_sha256).files
        folders += [config, ArchivedFolder(path=base_dir(row.base_sha256), files=weights, name=f"{name}/base")]
    return f"{name}.zip", stream_zip(folders, stamp=row.created_at)


def check_name(name: str) -> str:
    """The name if a model can be registered under it. Raises InvalidRequest."""
    try:
        check_reference(name)
    except ValueError as error:
        raise _bad_name(str(error)) from error
    if not HUB_ID.fullmatch(name) or _RESERVED.fullmatch(name):
        raise _bad_name("must not look like an id of this service")
    if name.rpartition("/")[2] in _ROUTE_ENDINGS:
        raise _bad_name(f"must not end in {name.rpartition('/')[2]!r}, which is a route")
    return name


def register(parts: Iterable[IncomingPart]) -> tuple[ModelOut, bool]:
    """Check and keep an uploaded model; and whether it is new. The same model under the same name again is no error.

    Raises InvalidRequest, InvalidModel, OutOfSpace, or Conflict when another model has that name; then nothing is left
    behind.
    """
    target = models_dir() / ids.new_id(ids.MODEL)
    refuse_without_room(target, min_free_bytes=get_settings().min_free_bytes, what="the model")
    with reading() as session:
        quota.refuse_beyond(session)
    with full_disk_told("the model"), committed_folder(target) as folder:
        received = receive(parts, folder=folder)
        name = check_name(received.name)
        if received.shared:
            _check_may_share()
        config, serving = inspect_folder(folder)
    made.tell(name)
    manifest = read_manifest(target)
    try:
        storage.publish(target)
    except StoreUnavailable:
        storage.remove(target)
        raise
    row = Model(
        id=name,
        shared=received.shared,
        kind="registered",
        base_model=serving.base_model if serving else None,
        job_id=None,
        task=serving.task if serving else None,
        path=f"{MODELS_FOLDER}/{target.name}",
        manifest_sha256=manifest.sha256,
        weights_sha256=manifest.weights_sha256(),
        size_bytes=manifest.size_bytes,
        config=config,
        metrics={},
        created_at=utc_now(),
    )
    try:
        with transaction() as session:
            if _find(session, name) is None:
                quota.refuse_beyond(session, more_bytes=row.size_bytes)
            session.add(row)
    except TooLarge:
        remove_folder(row.path)
        raise
    except IntegrityError:  # another error may follow a commit that succeeded: then the folder must stay
        remove_folder(row.path)
        return _existing(name, manifest, shared=received.shared), False
    return _out(row), True


def delete_model(model_id: str) -> DeletedModelOut:
    """Raises NotFound, or Conflict while an unfinished job trains from it. A base that it was the last to need goes later."""
    with transaction() as session:
        _require(session, model_id)
        path = delete_within(session, model_id)
    failpoints.reach("model.deleted")
    if path is not None:
        remove_folder(path)
    return DeletedModelOut(id=model_id)


def delete_within(session: Session, model_id: str) -> str | None:
    """Its row, as part of a larger change: the folder to be removed after the commit, None if there is no such model.

    Raises Conflict as ``delete_model`` does, and Forbidden for what another project shares.
    """
    row = _find(session, model_id)
    if row is None:
        return None
    if row.project_id != caller.project_id() and caller.current() is not None:
        raise Forbidden(f"The model {model_id!r} is shared by another project.", param="model", code="not_the_owner")
    with caller.acting_for(None if row.shared else caller.current()):  # jobs of all projects may need it
        job = repository.unfinished_job_using(session, model_id)
        sweep = repository.unfinished_study_using(session, model_id)
    if job is not None:
        message = f"The job {job} needs the model {model_id} and is not finished."
        raise Conflict(message, code="model_in_use", hint="Wait for it, or cancel it.")
    if sweep is not None:
        message = f"The sweep {sweep} needs the model {model_id} and is not finished."
        raise Conflict(message, code="model_in_use", hint="Wait for it, or cancel it.")
    session.delete(row)
    return row.path


def discard_within(session: Session, rows: Iterable[Model]) -> list[str]:
    """Delete those of these models that nothing unfinished trains from; their folders, to be removed after the commit."""
    folders = []
    for row in rows:
        used_by = repository.unfinished_job_using(session, row.id) or repository.unfinished_study_using(session, row.id)
        if used_by is None:
            session.delete(row)
            folders.append(row.path)
    return folders


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
        storage.fetch_whole(_folder(row), manifest_sha256=row.manifest_sha256)
        base = None if row.base_sha256 is None else fetch_base(row.base_sha256)
    except CorruptArtefactError as error:
        raise _damaged(row) from error
    return _folder(row), base


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
            storage.fetch_whole(_folder(row), manifest_sha256=row.manifest_sha256)
            base = base and fetch_base(base.name)
    except CorruptArtefactError as error:
        raise _damaged(row) from error
    return PublishedModel(folder=_folder(row), base=base, manifest_sha256=row.manifest_sha256)


def check_hub_dataset(name: str, config: str | None, revision: str | None) -> str | None:
    """Its commit, if the hub tells. Raises InvalidData when it says that the data set cannot be loaded (see ``app.model.hub``)."""
    return hub.check_dataset(name, config=config, revision=revision)


def _own_reference(row: Model, *, revision: str | None) -> ModelReference:
    if revision is not None:
        message = f"{row.id!r} is a model of this server, which has no revisions."
        raise InvalidModel(message, param="model_revision", code="model_revision_not_found")
    _manifest(row)
    folder = _folder(row)
    tokenizer = _bytes(folder / TOKENIZER_CONFIG_FILE)
    info = inspect_config(
        row.config,
        source="upload" if row.kind == "registered" else "hub",
        tokenizer_config=None if tokenizer is None else parse_config(tokenizer, name=TOKENIZER_CONFIG_FILE),
    )
    kind = cast("Literal['registered', 'fine-tuned']", row.kind)
    return ModelReference(kind=kind, folder=folder, info=info, revision=None)


def _check_may_share() -> None:
    who = caller.current()
    if who is not None and Scope.ADMIN not in who.scopes:
        raise Forbidden(
            "Only admins share a model with all projects.",
            param="shared",
            code="scope_missing",
            hint="Leave out shared.",
        )


def _existing(name: str, manifest: Manifest, *, shared: bool) -> ModelOut:
    """With ``shared`` it is shared from now on."""
    with transaction() as session:
        row = _find(session, name)
        if row is not None and shared and row.project_id == caller.project_id():
            row.shared = True
    if row is None or row.manifest_sha256 != manifest.sha256:  # not to be seen: it is another project's
        message = f"Another model is registered as {name!r}."
        raise Conflict(message, param="name", code="model_exists", hint="Delete it first, or choose another name.")
    return _out(row)


def _out(row: Model) -> ModelOut:
    labels = labels_of(row.config) if row.task else None
    return ModelOut(
        id=row.id,
        kind=cast("Literal['registered', 'fine-tuned']", row.kind),
        base_model=row.base_model,
        job_id=row.job_id,
        task=row.task,
        labels=None if labels is None else list(labels),
        metrics=row.metrics,
        weights_sha256=row.weights_sha256,
        base_sha256=row.base_sha256,
        shared=row.shared,
        size_bytes=row.size_bytes,
        created_at=row.created_at,
    )


def _find(session: Session, model_id: str) -> Model | None:
    """PostgreSQL refuses to even compare with a text that has a NUL."""
    return None if "\0" in model_id else repository.get(session, model_id)


def _require(session: Session, model_id: str) -> Model:
    row = _find(session, model_id)
    if row is None:
        raise NotFound(f"There is no model {model_id[:300]!r}.", param="model", code="model_not_found")
    return row


def _folder(row: Model) -> Path:
    return get_settings().artefacts_dir / row.path


def _manifest(row: Model) -> Manifest:
    """The manifest that was published, with every file still there and as long as it was; the base's too."""
    try:
        manifest = storage.look_at(_folder(row), expected_sha256=row.manifest_sha256)
        if row.base_sha256 is not None:
            look_at_base(row.base_sha256)
    except CorruptArtefactError as error:
        raise _damaged(row) from error
    return manifest


def _bytes(path: Path) -> bytes | None:
    try:
        return storage.read(path)
    except FileNotFoundError:
        return None


def _text(path: Path) -> str | None:
    content = _bytes(path)
    return None if content is None else content.decode("utf-8", errors="replace")


def _unknown(model: str) -> InvalidModel:
    return InvalidModel(f"There is no model {model!r}.", param="model", code="model_not_found")


def _damaged(row: Model) -> Unavailable:
    return Unavailable(
        f"The files of the model {row.id!r} are damaged.",
        code="artifact_corrupt",
        hint="Restore them from a backup, or train or register it again.",
    )


def _bad_name(reason: str) -> InvalidRequest:
    return InvalidRequest(f"The name of a model {reason}.", param="name", code="invalid_name")
