"""``client.files``: data files on the server."""

from collections.abc import AsyncIterator
from os import PathLike
from pathlib import Path

from app.client import data_files, pages
from app.client.address import segment
from app.client.operation import Resource, TransportT, id_of, iteration, operation, read
from app.client.transport import UPLOAD_TIMEOUT_SECONDS
from app.file.schemas import FileDeleted, FileOut, FileSummary

FileLike = str | FileSummary
"""A file's id, or the file."""


class Files(Resource[TransportT]):
    """JSON Lines, CSV and Parquet; and what jobs wrote."""

    @operation
    async def upload(
        self, content: bytes | str | PathLike[str], *, filename: str | None = None, purpose: str = "fine-tune"
    ) -> FileOut:
        """Upload a file by its path, or bytes, whose format the ``filename`` tells. It is checked on the way.

        Raises InvalidRequest with every bad row in ``problems``, and LocalFileError.
        """
        return read(
            FileOut, await data_files.upload_file(self._connection, content, filename=filename, purpose=purpose)
        )

    @iteration
    async def list(self, *, after: str | None = None, page_size: int = 100) -> AsyncIterator[FileSummary]:
        """All files, newest first; pages are asked for as they are needed."""
        async for item in pages.items(self._connection, "/files", after=after, page_size=page_size):
            yield read(FileSummary, item)

    @operation
    async def get(self, file: FileLike) -> FileOut:
        """A file with what is known of its rows and columns."""
        return read(FileOut, await self._connection.get(f"/files/{segment(id_of(file))}"))

    @operation
    async def content(self, file: FileLike) -> bytes:
        """The bytes as they were uploaded, or as a job wrote them."""
        path = data_files.content_path(id_of(file))
        async with self._connection.stream(path, timeout_seconds=UPLOAD_TIMEOUT_SECONDS) as stream:
            return (await stream.read()).content

    @operation
    async def download(self, file: FileLike, path: str | PathLike[str]) -> Path:
        """Write the bytes to a file on this machine, which is whole or not there."""
        target = Path(path)
        await data_files.save(self._connection, data_files.content_path(id_of(file)), target)
        return target

    @operation
    async def delete(self, file: FileLike) -> FileDeleted:
        """Delete a file. Raises Conflict if a job that has not ended needs it."""
        return read(FileDeleted, await self._connection.delete(f"/files/{segment(id_of(file))}"))
