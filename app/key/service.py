"""What can be done with keys: make, list, revoke, and tell who shows one."""

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy.orm import Session

from app import ids
from app.audit import made
from app.caller import Caller
from app.clock import utc_now
from app.db import reading, transaction
from app.errors import InvalidRequest, NotFound, Unauthorized
from app.key import repository, secret
from app.key.models import ApiKey, Project
from app.key.schemas import CallerOut, CreatedKey, KeyList, KeyOut, NewKey
from app.key.scopes import Scope

USE_NOTED_SECONDS: Final = 60.0
"""A use within so long of the last that was noted is not noted."""


def create(wanted: NewKey) -> CreatedKey:
    """The key itself is in this answer and nowhere else. Raises InvalidRequest for a project that there is not."""
    new = secret.make()
    created_at = utc_now()
    lasts = wanted.expires_in_seconds
    with transaction() as session:
        row = ApiKey(
            id=ids.new_id(ids.KEY),
            project_id=require_project(session, wanted.project).id,
            name=wanted.name,
            prefix=new.prefix,
            sha256=new.sha256,
            scopes=sorted(set(wanted.scopes)),
            created_at=created_at,
            expires_at=None if lasts is None else created_at + timedelta(seconds=lasts),
        )
        session.add(row)
    made.tell(row.id)
    return CreatedKey(**_out(row).model_dump(), key=new.key)


def list_keys() -> KeyList:
    """Of all projects, those that are revoked included."""
    with reading() as session:
        data = [_out(row) for row in repository.all_keys(session)]
    return KeyList(data=data, first_id=data[0].id if data else None, last_id=data[-1].id if data else None)


def revoke(key_id: str) -> KeyOut:
    """It is not accepted any more, by other processes within seconds; its row stays. Again is no error. Raises NotFound."""
    with transaction() as session:
        row = repository.get(session, key_id) if ids.is_id(key_id, ids.KEY) else None
        if row is None:
            raise NotFound(f"There is no key {key_id!r}.", param="key_id", code="key_not_found")
        if row.revoked_at is None:
            row.revoked_at = utc_now()
    return _out(row)


def any_key() -> bool:
    """Whether a key was ever made. From then on one is asked for, also when all are revoked: nothing opens by itself."""
    with reading() as session:
        return repository.any_key(session)


def caller_of(key: str) -> tuple[Caller, datetime | None]:
    """Who shows ``key``, and when its use was noted last. Raises Unauthorized."""
    prefix = secret.prefix_of(key)
    row = None
    if prefix is not None:
        with reading() as session:
            row = repository.by_prefix(session, prefix)
    matches = secret.is_of(key, secret.NO_KEY if row is None else row.sha256)
    if row is None or not matches:
        raise Unauthorized("The API key is not valid.", code="invalid_api_key")
    refusal = _why_not(row)
    if refusal is not None:
        raise refusal
    return Caller(project_id=row.project_id, key_id=row.id, scopes=frozenset(row.scopes)), row.last_used_at


def is_valid(who: Caller | None) -> bool:
    """Whether the key that was shown would be accepted again."""
    if who is None or who.key_id is None or not ids.is_id(who.key_id, ids.KEY):
        return True  # that of the settings, or none is asked for
    with reading() as session:
        row = repository.get(session, who.key_id)
    return row is not None and _why_not(row) is None


def needs_noting(last_used_at: datetime | None) -> bool:
    return last_used_at is None or utc_now() - last_used_at >= timedelta(seconds=USE_NOTED_SECONDS)


def note_use(key_id: str) -> None:
    moment = utc_now()
    with transaction() as session:
        repository.note_use(session, key_id, moment=moment, unless_since=moment - timedelta(seconds=USE_NOTED_SECONDS))


def describe(who: Caller) -> CallerOut:
    """What the key of ``who`` is, as far as its holder need know."""
    row = None
    if who.key_id is not None:
        with reading() as session:
            row = repository.get(session, who.key_id)
    return CallerOut(
        key_id=who.key_id,
        name=None if row is None else row.name,
        project_id=who.project_id,
        scopes=[Scope(scope) for scope in sorted(who.scopes)],
        expires_at=None if row is None else row.expires_at,
    )


def require_project(session: Session, name_or_id: str) -> Project:
    """Raises InvalidRequest: it is always named in a request."""
    found = None if "\0" in name_or_id else repository.project(session, name_or_id)
    if found is None:
        raise InvalidRequest(
            f"There is no project {name_or_id!r}.",
            param="project",
            code="project_not_found",
            hint="Make it first, with POST /projects or tunery projects create.",
        )
    return found


def _why_not(row: ApiKey) -> Unauthorized | None:
    if row.revoked_at is not None:
        return Unauthorized("The API key was revoked.", code="revoked_api_key")
    if row.expires_at is not None and row.expires_at <= utc_now():
        return Unauthorized("The API key has expired.", code="expired_api_key")
    return None


def _out(row: ApiKey) -> KeyOut:
    return KeyOut(
        id=row.id,
        name=row.name,
        prefix=f"tk_{row.prefix}",
        project_id=row.project_id,
        scopes=[Scope(scope) for scope in row.scopes],
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
    )
