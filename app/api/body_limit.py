"""A JSON body that is sent in chunks has no length to check beforehand: count it while it comes."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import TooLarge


class BodyLimitMiddleware:
    """Raises TooLarge into whoever reads a body that has grown past ``max_bytes``. Multipart has limits of its own."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or Headers(scope=scope).get("content-type", "").startswith("multipart/"):
            await self.app(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                if received > self.max_bytes:
                    raise TooLarge(f"The body is larger than {self.max_bytes} bytes.", code="body_too_large")
            return message

        await self.app(scope, counted, send)
