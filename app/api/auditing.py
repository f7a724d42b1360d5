"""Writes a line into the audit log for each request that changes something, as soon as it is known how it is answered."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus

import structlog
from fastapi.concurrency import run_in_threadpool
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.security import CALLER
from app.audit import made, service
from app.audit.actions import action_of, object_of

_CHANGES_NOTHING = frozenset({"GET", "HEAD", "OPTIONS"})
_CAN_BE_CHECKED = frozenset({"job.create", "sweep.create"})
"""With ``validate_only`` they answer 200, and make nothing."""


class AuditMiddleware:
    """Must be inside of the one that gives requests their ids, and outside of all that may refuse them.

    The line is written before the answer is sent: what a client was told to be done stands in the log.
    """

    def __init__(self, app: ASGIApp, routes: Sequence[BaseRoute]) -> None:
        """``routes``: all there are, to name what is refused before it reaches one."""
        self.app = app
        self.routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in _CHANGES_NOTHING:
            await self.app(scope, receive, send)
            return
        is_written = False

        async def written(message: Message) -> None:
            nonlocal is_written
            if message["type"] == "http.response.start" and not is_written:
                is_written = True
                await self._write(scope, message["status"], found)
            await send(message)

        with made.listening() as found:
            try:
                await self.app(scope, receive, written)
            except Exception:
                if not is_written:
                    await self._write(scope, 500, found)  # Starlette answers so, outside of all middleware
                raise

    async def _write(self, scope: Scope, status: int, found: list[str]) -> None:
        """With whoever was found to be asking; of a request that was turned away nobody."""
        route, parameters = self._route(scope)
        action = action_of(scope["method"], route)
        if action is None or (action in _CAN_BE_CHECKED and status == HTTPStatus.OK and not found):
            return
        client = scope.get("client")
        await run_in_threadpool(
            service.record,
            action,
            caller=scope.get(CALLER),
            object_id=found[-1] if found else object_of(parameters),
            status=status,
            client=client[0] if client else None,
            request_id=structlog.contextvars.get_contextvars().get("request_id", ""),
        )

    def _route(self, scope: Scope) -> tuple[str, Mapping[str, object]]:
        """Template and parameters of the route that is asked for, also of a request that was turned away before it."""
        found = scope.get("route")
        if found is not None:
            return found.path_format, scope.get("path_params") or {}
        for route in self.routes:
            match, child = route.matches(scope)
            if match is Match.FULL and hasattr(route, "path_format"):
                return route.path_format, child["path_params"]
        return "", {}
