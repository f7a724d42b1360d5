"""Keeping a model that a user uploads, under a name of theirs."""

import re
from collections.abc import Iterable
from typing import Final

from sqlalchemy.exc import IntegrityError

from app import caller, ids, storage
from app.audit import made
from app.clock import utc_now
from app.config import get_settings
from app.db import reading, transaction
from app.disk import full_disk_told, refuse_without_room
from app.errors import Conflict, Forbidden, InvalidRequest, TooLarge
from app.file import quota
from app.key.scopes import Scope
from app.manifest import Manifest, committed_folder, read_manifest
from app.model.kept import find, model_out
from app.model.models import Model
from app.model.publishing import MODELS_FOLDER, models_dir, remove_folder
from app.model.schemas import ModelOut
from app.model.upload import IncomingPart, inspect_folder, receive
from app.spec.job import HUB_ID, check_reference
from app.storage import StoreUnavailable

_ROUTE_ENDINGS: Final = frozenset({"info", "health", "predict", "download", "export", "files"})
"""``/models/{id}/info`` and the like are routes; a name that ends so could not be asked for."""
_RESERVED: Final = re.compile(r"(ftjob|ftevent|ftckpt|file|sweep)-.*")


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
            if find(session, name) is None:
                quota.refuse_beyond(session, more_bytes=row.size_bytes)
            session.add(row)
    except TooLarge:
        remove_folder(row.path)
        raise
    except IntegrityError:  # another error may follow a commit that succeeded: then the folder must stay
        remove_folder(row.path)
        return _existing(name, manifest, shared=received.shared), False
    return model_out(row), True


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
        row = find(session, name)
        if row is not None and shared and row.project_id == caller.project_id():
            row.shared = True
    if row is None or row.manifest_sha256 != manifest.sha256:  # not to be seen: it is another project's
        message = f"Another model is registered as {name!r}."
        raise Conflict(message, param="name", code="model_exists", hint="Delete it first, or choose another name.")
    return model_out(row)


def _bad_name(reason: str) -> InvalidRequest:
    return InvalidRequest(f"The name of a model {reason}.", param="name", code="invalid_name")
