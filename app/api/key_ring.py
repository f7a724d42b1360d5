"""Which caller shows which key, remembered for a moment: asking the database for each request would take longer than many answers."""

import asyncio
import hmac
import time
from typing import Final, Self

import structlog
from fastapi.concurrency import run_in_threadpool

from app.caller import DEFAULT_PROJECT, Caller
from app.config import Settings
from app.errors import Unauthorized
from app.key import secret, service
from app.key.scopes import ALL

log = structlog.get_logger(__name__)

REMEMBERED_SECONDS: Final = 2.0
"""So long a key that was revoked elsewhere is still accepted, and a first key that was made elsewhere not asked for."""
MOST: Final = 4096
FIRST_KEY: Final = "first"
"""The id of the one in the settings."""
WITHOUT_KEY: Final = Caller(project_id=DEFAULT_PROJECT, scopes=frozenset(ALL))
"""Whoever reaches a server that asks for no key."""


class KeyRing:
    """Of one process. It holds no key, only hashes of keys that were found to be valid."""

    def __init__(self, first_key: bytes | None) -> None:
        self._first_key = first_key
        self._known: dict[str, tuple[float, Caller]] = {}
        self._asking: dict[str, asyncio.Task[Caller]] = {}
        """One question to the database at a time for each key, however many requests show it."""
        self._noting: dict[str, asyncio.Task[None]] = {}
        self._exist = first_key is not None
        self._looked_at = float("-inf")

    @classmethod
    def of(cls, settings: Settings) -> Self:
        first = settings.first_api_key
        return cls(first.get_secret_value().encode() if first else None)

    async def asks(self) -> bool:
        """Whether a key is asked for. Raises DBAPIError while the database is away."""
        if not self._exist and time.monotonic() > self._looked_at + REMEMBERED_SECONDS:
            self._exist = await run_in_threadpool(service.any_key)
            self._looked_at = time.monotonic()
        return self._exist

    async def caller_of(self, key: str) -> Caller:
        """Raises Unauthorized, and DBAPIError while the database is away."""
        if self._first_key is not None and hmac.compare_digest(key.encode(), self._first_key):
            return Caller(project_id=DEFAULT_PROJECT, key_id=FIRST_KEY, scopes=frozenset(ALL))
        digest = secret.digest(key)
        found = self._known.get(digest)
        if found is not None and time.monotonic() < found[0]:
            return found[1]
        asking = self._asking.get(digest)
        if asking is None:
            asking = asyncio.create_task(self._ask(key, digest))
            self._asking[digest] = asking
            asking.add_done_callback(lambda _: self._asking.pop(digest, None))
        return await asyncio.shield(asking)  # others wait for it too

    async def _ask(self, key: str, digest: str) -> Caller:
        until = time.monotonic() + REMEMBERED_SECONDS
        try:
            caller, last_used_at = await run_in_threadpool(service.caller_of, key)
        except Unauthorized:
            self._known.pop(digest, None)
            raise
        if len(self._known) >= MOST:
            self._known.clear()
        self._known[digest] = (until, caller)
        if caller.key_id is not None and service.needs_noting(last_used_at):
            self._note_use(caller.key_id)
        return caller

    def _note_use(self, key_id: str) -> None:
        """Nobody waits for it."""
        if key_id not in self._noting:
            self._noting[key_id] = asyncio.create_task(_note(key_id))
            self._noting[key_id].add_done_callback(lambda _: self._noting.pop(key_id, None))

    def forget(self) -> None:
        """Keys were made or revoked by this process, which knows it at once."""
        self._known.clear()
        self._looked_at = float("-inf")


async def _note(key_id: str) -> None:
    try:
        await asyncio.to_thread(service.note_use, key_id)
    except Exception as error:  # noqa: BLE001  whatever it is, it must not fail a request
        log.warning("the use of a key was not noted", key_id=key_id, error=str(error))
