"""Counts requests by the template of their route."""

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.metrics.requests import RequestCounts


class RequestMetricsMiddleware:
    """Must be the outermost, so that it sees what others refuse."""

    def __init__(self, app: ASGIApp, counts: RequestCounts) -> None:
        self.app = app
        self.counts = counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.monotonic()
        has_begun = False

        def count(status: int) -> None:
            nonlocal has_begun
            has_begun = True
            template: str | None = getattr(scope.get("route"), "path_format", None)
            self.counts.add(scope["method"], template, status=status, seconds=time.monotonic() - started)

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                count(message["status"])
            await send(message)

        try:
            await self.app(scope, receive, counted)
        except Exception:
            if not has_begun:
                count(500)  # Starlette answers so, outside of all middleware
            raise
