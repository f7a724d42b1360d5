"""A JSON body that is sent in chunks has no length to check beforehand: count it while it comes."""

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.errors import problem_response
from app.errors import TooLarge


class BodyLimitMiddleware:
    """Refuses a body other than multipart once it has grown past ``max_bytes``. Uploads have limits of their own."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or Headers(scope=scope).get("content-type", "").startswith("multipart/"):
            await self.app(scope, receive, send)
            return
        received = 0
        started = False

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                if received > self.max_bytes:
                    raise _BodyTooLargeError
            return message

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, counted, watched)
        except _BodyTooLargeError:
            if not started:
                error = TooLarge(f"The body is larger than {self.max_bytes} bytes.", code="body_too_large")
                await problem_response(Request(scope), error)(scope, receive, send)


class _BodyTooLargeError(Exception):
    pass
