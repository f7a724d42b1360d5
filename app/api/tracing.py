"""A span for each request, by the template of its route: never by its path or query, which hold what users name things."""

import structlog
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import telemetry

UNTRACED = ("/health/", "/metrics", "/dashboard/")
"""Asked all the time, and of no interest."""
_SERVER_ERROR = 500


class TracingMiddleware:
    """Must be inside of the one that gives requests their ids. Does nothing where no traces are sent."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not telemetry.is_on() or scope["path"].startswith(UNTRACED):
            await self.app(scope, receive, send)
            return
        method = scope["method"]
        attributes = {
            "http.request.method": method,
            "tunery.request_id": structlog.contextvars.get_contextvars().get("request_id", ""),
        }
        parent = Headers(scope=scope).get("traceparent")
        with telemetry.span(method, attributes, parent=parent, is_server=True) as span:

            async def seen(message: Message) -> None:
                if span is not None and message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                    if message["status"] >= _SERVER_ERROR:
                        telemetry.fail(span, str(message["status"]))
                await send(message)

            try:
                await self.app(scope, receive, seen)
            finally:
                route: str | None = getattr(scope.get("route"), "path_format", None)
                if span is not None and route is not None:
                    span.update_name(f"{method} {route}")
                    span.set_attribute("http.route", route)
