"""What can be asked of models: list, look at, download, delete; beside what ``registration`` and ``references`` do."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from sqlalchemy.orm import Session

from app import caller, failpoints
from app.db import reading, transaction
from app.errors import Conflict, Forbidden, InvalidRequest, NotFound
from app.model import repository
from app.model.archive import ArchivedFolder, stream_zip
from app.model.bases import base_dir, look_at_base, place_base, remove_unused
from app.model.inspection import CONFIG_FILE
from app.model.kept import bytes_at, find, folder_of, manifest_of, model_out
from app.model.models import Model
from app.model.publishing import place, publish, remove_folder, remove_strays
from app.model.references import ModelReference, check_hub_dataset, own_folders, published, resolve_reference
from app.model.registration import check_name, register
from app.model.schemas import DeletedModelOut, ModelDetailOut, ModelFileOut, ModelPage
from app.model.upload import CARD_FILE

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


def list_models(*, after: str | None, limit: int) -> ModelPage:
    """Newest first; ``after`` is the id of the last model of the page before. Raises InvalidRequest if it is unknown."""
    with reading() as session:
        last = None if after is None else find(session, after)
        if after is not None and last is None:
            raise InvalidRequest(f"There is no model {after!r} to list from.", param="after", code="unknown_cursor")
        rows = repository.page(session, after=last, limit=limit)
    data = [model_out(row) for row in rows[:limit]]
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
    manifest = manifest_of(row)
    files = [
        ModelFileOut(name=name, size_bytes=entry["bytes"], sha256=entry["sha256"])
        for name, entry in manifest.files.items()
    ]
    return ModelDetailOut(
        **model_out(row).model_dump(),
        files=files,
        config={key: row.config[key] for key in _SHOWN_CONFIG if key in row.config},
        card=_text(folder_of(row) / CARD_FILE),
    )


def download(model_id: str, *, with_base: bool = True) -> tuple[str, Iterator[bytes]]:
    """A file name, and the model's folder as a zip, that of an adapter with its base unless told otherwise.

    Raises NotFound, or Unavailable if its files are damaged.
    """
    with reading() as session:
        row = _require(session, model_id)
    manifest = manifest_of(row)
    name = re.sub(r"[^A-Za-z0-9.-]+", "_", row.id).strip("._")
    folders = [ArchivedFolder(path=folder_of(row), files=manifest.files, name=name)]
    if with_base and row.base_sha256 is not None:
        config = ArchivedFolder(
            path=folder_of(row), files={CONFIG_FILE: manifest.files[CONFIG_FILE]}, name=f"{name}/base"
        )
        weights = look_at_base(row.base_sha256).files
        folders += [config, ArchivedFolder(path=base_dir(row.base_sha256), files=weights, name=f"{name}/base")]
    return f"{name}.zip", stream_zip(folders, stamp=row.created_at)


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
    row = find(session, model_id)
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


def _require(session: Session, model_id: str) -> Model:
    row = find(session, model_id)
    if row is None:
        raise NotFound(f"There is no model {model_id[:300]!r}.", param="model", code="model_not_found")
    return row


def _text(path: Path) -> str | None:
    content = bytes_at(path)
    return None if content is None else content.decode("utf-8", errors="replace")
