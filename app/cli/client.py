"""The client (``app.client``) for all commands: its answers as documents, its errors as those of the command line."""

from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any, TypeVar

from app.cli.errors import in_words
from app.client.address import find_address, segment
from app.client.connection import Connection
from app.client.transport import TIMEOUT_SECONDS, FilePart

T = TypeVar("T")


class Client:
    """Talks to the server at ``url`` (``TUNERY_URL``). Every method raises CliError with the server's explanation.

    Commands print what the server said, also what only a newer server says, so they work on its documents and not on the objects
    of ``app.client.Tunery``, which take a second to import.
    """

    def __init__(self, url: str | None = None, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        with in_words():
            self._address = find_address(url)
        self.url = self._address.url
        self._timeout_seconds = timeout_seconds
        self._connection: Connection | None = None

    @property
    def connection(self) -> Connection:
        """For functions of ``app.client``, whose coroutines ``run`` runs."""
        if self._connection is None:
            from app.client.blocking import BlockingTransport  # noqa: PLC0415  with httpx: a tenth of a second that --help need not wait

            self._connection = Connection(
                BlockingTransport(self._address), waits_for_start=False, timeout_seconds=self._timeout_seconds
            )
        return self._connection

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        from app.client.blocking import run  # noqa: PLC0415

        with in_words():
            return run(coroutine)

    def iterate(self, items: AsyncIterator[T]) -> Iterator[T]:
        from app.client.blocking import iterate  # noqa: PLC0415

        with in_words():
            yield from iterate(items)

    def get(self, path: str, **params: Any) -> Any:
        return self.run(self.connection.get(path, **params))

    def post(self, path: str, body: Any = None, **params: Any) -> Any:
        return self.run(self.connection.post(path, body, **params))

    def make_job(self, path: str, body: Any) -> Any:
        """Post what makes a job, or a sweep of jobs; sent again after a broken connection, it makes one."""
        return self.run(self.connection.make_job(path, body))

    def patch(self, path: str, body: Any) -> Any:
        return self.run(self.connection.patch(path, body))

    def put(self, path: str, body: Any) -> Any:
        return self.run(self.connection.put(path, body))

    def delete(self, path: str, **params: Any) -> Any:
        return self.run(self.connection.delete(path, **params))

    def upload(self, path: str, *, fields: dict[str, str], files: list[FilePart]) -> Any:
        """A multipart form, streamed from open files: ``(part name, (file name, file, content type))``."""
        return self.run(self.connection.upload(path, fields=fields, files=files))

    def answers(self) -> bool:
        """Whether a Tunery is there and ready."""
        return self.run(self.connection.answers())


__all__ = ["Client", "segment"]
