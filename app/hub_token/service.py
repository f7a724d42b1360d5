"""Use cases of the Hub tokens: each project may have one, with which its jobs read gated and private repositories."""

from typing import Final

from pydantic import SecretStr
from sqlalchemy.exc import IntegrityError

from app import caller, sealing
from app.db import now, reading, transaction
from app.errors import InvalidRequest, Unavailable
from app.hub_token import repository
from app.hub_token.models import HubToken
from app.hub_token.schemas import HubTokenOut, NewHubToken, RemovedHubToken

LONG_ENOUGH_TO_SHOW: Final = 16
"""Of a shorter token four characters would tell too much."""


def put(new: NewHubToken) -> HubTokenOut:
    """Keep the caller's token, in the place of the one before. Raises InvalidRequest for what can be no token."""
    token = new.token.get_secret_value().strip()
    if not (token.isascii() and token.isprintable()) or " " in token or not token:
        raise InvalidRequest(
            "The token has characters that no token of the Hub has.",
            param="token",
            code="invalid_hub_token",
            hint="Send it as huggingface.co/settings/tokens shows it.",
        )
    sealed = sealing.seal(SecretStr(token), purpose=_purpose(caller.project_id()))
    last_four = token[-4:] if len(token) >= LONG_ENOUGH_TO_SHOW else None
    try:
        return _store(sealed, last_four)
    except IntegrityError:  # it was the first, and another request stored one meanwhile
        return _store(sealed, last_four)


def _store(sealed: str, last_four: str | None) -> HubTokenOut:
    with transaction() as session:
        row = repository.get(session, caller.project_id())
        if row is None:
            row = HubToken(project_id=caller.project_id(), sealed=sealed, last_four=last_four, set_at=now(session))
            session.add(row)
        row.sealed, row.last_four, row.set_at = sealed, last_four, now(session)
        session.flush()
        return _out(row)


def show() -> HubTokenOut:
    """Whether the caller has one."""
    with reading() as session:
        row = repository.get(session, caller.project_id())
        return HubTokenOut(is_set=False) if row is None else _out(row)


def remove() -> RemovedHubToken:
    """Forget the caller's token. Attempts that are running have it until they end."""
    with transaction() as session:
        return RemovedHubToken(deleted=repository.remove(session, caller.project_id()))


def token_of(project_id: str) -> SecretStr | None:
    """The project's token, to be used on its behalf. Raises Unavailable if there is one that cannot be decrypted."""
    with reading() as session:
        row = repository.get(session, project_id)
        sealed = None if row is None else row.sealed
    if sealed is None:
        return None
    try:
        return sealing.open_sealed(sealed, purpose=_purpose(project_id))
    except sealing.UnreadableSecretError as error:
        raise Unavailable(
            f"The Hub token cannot be decrypted: {error}.",
            code="hub_token_unreadable",
            hint="Give all processes the same TUNERY_SECRET_KEY, or secret.key, or set the token anew (tunery hub-token set).",
        ) from error


def _purpose(project_id: str) -> str:
    """A sealed token that is copied to another project's row is not readable there."""
    return f"hub token of {project_id}"


def _out(row: HubToken) -> HubTokenOut:
    return HubTokenOut(is_set=True, last_four=row.last_four, set_at=row.set_at)
