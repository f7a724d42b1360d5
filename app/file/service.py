"""What can be done with data files."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy.orm import Session

from app import disk, failpoints, ids, storage
from app.audit import made
from app.clock import utc_now
from app.config import get_settings
from app.dataset.profile import DatasetProfile
from app.dataset.suggestion import suggest, upload_report
from app.db import reading, transaction
from app.disk import full_disk_told, refuse_without_room
from app.errors import Conflict, InvalidData, InvalidRequest, NotFound, Unavailable
from app.file import quota, repository
from app.file.models import File
from app.file.schemas import (
    AdviceOut,
    FileDeleted,
    FileOut,
    FilePage,
    FileSummary,
    NoSuggestionOut,
    SuggestionOut,
)
from app.file.upload import FINE_TUNE, UploadPart, receive
from app.manifest import CorruptArtefactError, committed_folder, read_manifest
from app.spec.job import FILE_ID, ColumnsSpec

FOLDER: Final = "files"
"""In the artefacts folder; each file has a folder of its own, named by its id, with the data and a manifest."""

STORED_LEFTOVER_SECONDS: Final = 24 * 3600.0
"""The same of folders in a store on other machines, where a large one takes its time."""


def create_file(parts: Iterable[UploadPart]) -> FileOut:
    """Store an upload that is fit to train on; its bytes are on the disk before its row is committed.

    Raises InvalidRequest, InvalidData or TooLarge, naming the row where there is one, as soon as the first bad row has
    arrived, and OutOfSpace; then nothing is left behind.
    """
    settings = get_settings()
    file_id = ids.new_id(ids.FILE)
    folder = settings.artefacts_dir / FOLDER / file_id
    refuse_without_room(folder, min_free_bytes=settings.min_free_bytes, what="the file")
    with reading() as session:
        quota.refuse_beyond(session)  # before gigabytes are received for nothing
    with full_disk_told("the file"):
        with committed_folder(folder) as temporary:
            received = receive(parts, folder=temporary, max_row_bytes=settings.max_row_bytes)
        stored = read_manifest(folder).files[received.stored_as]
    failpoints.reach("file.sealed")
    created_at = utc_now()
    file = File(
        id=file_id,
        filename=received.filename,
        purpose=received.purpose,
        format=received.format,
        size_bytes=stored["bytes"],
        sha256=stored["sha256"],
        path=f"{FOLDER}/{file_id}/{received.stored_as}",
        profile=received.profile.model_dump(mode="json"),
        created_at=created_at,
        expires_at=None if received.kept_seconds is None else created_at + timedelta(seconds=received.kept_seconds),
    )
    try:
        storage.publish(folder)
        with transaction() as session:
            quota.refuse_beyond(session, more_bytes=file.size_bytes)
            repository.add(session, file)
    except BaseException:
        storage.remove(folder)
        raise
    made.tell(file.id)
    failpoints.reach("file.stored")
    return _out(file, received.profile)


def get_file(file_id: str) -> File:
    """The row of a file. Raises NotFound."""
    _check_id(file_id)
    with reading() as session:
        return _found(repository.get(session, file_id), file_id)


def profile_of(file: File) -> DatasetProfile | None:
    """What is known of its rows; None for a file that has none, such as an archive."""
    return DatasetProfile.model_validate(file.profile) if file.profile else None


def path_of(file: File) -> Path:
    """Where its bytes are on this machine, absolute, once they are fetched. They are only ever written before the row is."""
    return get_settings().artefacts_dir / file.path


def fetched(file: File) -> Path:
    """The path of its bytes, which are on this machine. Raises Unavailable when they are gone, damaged, or cannot be had now.

    They were compared when they came here from a store, and whoever trains on them compares them again.
    """
    path = path_of(file)
    try:
        with full_disk_told(f"a copy of {file.id}"):
            storage.fetch(path.parent)
    except CorruptArtefactError as error:
        raise Unavailable(f"The bytes of {file.id} are not whole in the store.", code="artifact_corrupt") from error
    if not path.is_file():
        raise Unavailable(f"The bytes of {file.id} are not on the disk.", code="artifact_corrupt")
    return path


def describe(file_id: str) -> FileOut:
    file = get_file(file_id)
    return _out(file, profile_of(file))


def content_of(file_id: str) -> tuple[File, Path]:
    """The row and the path of its bytes. Raises NotFound, and Unavailable as ``fetched`` does."""
    file = get_file(file_id)
    return file, fetched(file)


def presigned_url(file_id: str, *, media_types: Mapping[str, str]) -> str | None:
    """Where a client may read the file past this service, for some minutes; None if it is not to. Raises NotFound."""
    if not get_settings().presigned_downloads:
        return None
    file = get_file(file_id)
    name = quote(file.filename, safe="")
    return storage.presigned(
        path_of(file),
        content_disposition=f"attachment; filename*=utf-8''{name}",
        content_type=media_types[file.format],
    )


def list_files(*, after: str | None, limit: int, purpose: str | None = None, oldest_first: bool = False) -> FilePage:
    """A page of files, newest first, from the one behind ``after`` on. Raises InvalidRequest if that is no file id."""
    if after is not None and not FILE_ID.fullmatch(after):
        raise InvalidRequest("after must be the id of a file.", param="after", code="invalid_value")
    with reading() as session:
        found = repository.page(session, purpose=purpose, after=after, limit=limit, oldest_first=oldest_first)
    data = [FileSummary(**_facts(file), num_rows=num_rows) for file, num_rows in found[:limit]]
    return FilePage(
        data=data,
        has_more=len(found) > limit,
        first_id=data[0].id if data else None,
        last_id=data[-1].id if data else None,
    )


def delete_file(file_id: str) -> FileDeleted:
    """Delete a file that no unfinished job needs. Raises NotFound or Conflict."""
    _check_id(file_id)
    with transaction() as session:
        folder = delete_within(session, file_id)
    if folder is None:
        raise _unknown(file_id)
    failpoints.reach("file.deleted")
    remove_folder(folder)
    return FileDeleted(id=file_id)


def delete_within(session: Session, file_id: str) -> Path | None:
    """Its row, as part of a larger change: the folder to be removed after the commit, None if there is no such file.

    Raises Conflict while an unfinished job needs it.
    """
    file = repository.get_locked(session, file_id)
    if file is None:
        return None
    job_id = repository.unfinished_job_using(session, file_id)
    if job_id is not None:
        raise Conflict(
            f"The file {file_id} is the data of job {job_id}, which has not ended.",
            code="file_in_use",
            hint="Wait for the job or cancel it.",
        )
    sweep_id = repository.unfinished_study_using(session, file_id)
    if sweep_id is not None:
        message = f"The file {file_id} is the data of sweep {sweep_id}, which has not ended."
        raise Conflict(message, code="file_in_use", hint="Wait until it has ended, or cancel it.")
    session.delete(file)
    return path_of(file).parent


def remove_folder(folder: Path) -> None:
    """The bytes of a file whose row is gone."""
    storage.remove(folder)


def delete_expired() -> int:
    """Delete the files whose time is over, but for those that an unfinished job needs: they go when it has ended. Returns how many."""
    with reading() as session:
        expired = repository.expired_ids(session, moment=utc_now())
    deleted = 0
    for file_id in expired:
        try:
            delete_file(file_id)
        except (Conflict, NotFound):  # needed, or another process was quicker
            continue
        deleted += 1
    return deleted


def hold(session: Session, file_ids: Sequence[str]) -> None:
    """Keep these from being deleted until the caller's transaction ends. Raises NotFound if one is gone already."""
    held = repository.hold(session, file_ids)
    for file_id in file_ids:
        if file_id not in held:
            raise _unknown(file_id)


def collect_leftovers(*, older_than_seconds: float) -> int:
    """Remove folders that belong to no file: of uploads and deletions whose process was killed. Returns how many.

    An upload that is still running keeps changing its folder, and a folder gets its row within moments, so the age must
    be longer than the longest pause of an upload.
    """
    root = get_settings().artefacts_dir / FOLDER
    old = set(storage.resting(root, older_than=timedelta(seconds=max(older_than_seconds, STORED_LEFTOVER_SECONDS))))
    if root.is_dir():
        newest = disk.clock_of(root) - older_than_seconds
        old |= {path for path in root.glob("*") if disk.last_change(path) < newest}
    with reading() as session:
        kept = repository.existing_ids(session, [path.name for path in old])
    leftovers = [path for path in old if path.name not in kept]
    for path in leftovers:
        remove_folder(path)
    return len(leftovers)


def _check_id(file_id: str) -> None:
    """Raise NotFound for what cannot be an id: PostgreSQL refuses to even compare with a text that has a NUL."""
    if not FILE_ID.fullmatch(file_id):
        raise _unknown(file_id)


def _found(file: File | None, file_id: str) -> File:
    if file is None:
        raise _unknown(file_id)
    return file


def _unknown(file_id: str) -> NotFound:
    return NotFound(f"There is no file {file_id!r}.", code="file_not_found")


def _facts(file: File) -> dict[str, Any]:
    return {
        "id": file.id,
        "bytes": file.size_bytes,
        "created_at": file.created_at,
        "filename": file.filename,
        "purpose": file.purpose,
        "format": file.format,
        "sha256": file.sha256,
        "job_id": file.job_id,
        "expires_at": file.expires_at,
    }


def _out(file: File, profile: DatasetProfile | None) -> FileOut:
    told: dict[str, Any] = {"suggestion": None, "no_suggestion": None, "data_report": None, "warnings": []}
    if profile is not None and file.purpose == FINE_TUNE:
        told |= _suggested(profile)
    return FileOut(**_facts(file), num_rows=None if profile is None else profile.num_rows, profile=profile, **told)


def _suggested(profile: DatasetProfile) -> dict[str, Any]:
    """What the file could be trained on, or why that cannot be told; what is known of its rows, and what to say of them."""
    resolved = None
    told: dict[str, Any] = {}
    try:
        resolved = suggest(profile)
    except InvalidData as error:
        told["no_suggestion"] = NoSuggestionOut(
            code=error.code, message=error.message, param=error.param, hint=error.hint
        )
    else:
        columns = ColumnsSpec(text=resolved.text, text_pair=resolved.text_pair, label=resolved.label)
        told["suggestion"] = SuggestionOut(
            task=resolved.task,
            problem_type=resolved.problem_type,
            columns=columns,
            label_names=resolved.label_names,
        )
    told["data_report"], advice = upload_report(profile, resolved)
    told["warnings"] = [AdviceOut.model_validate(warning) for warning in advice]
    return told
