"""Lists that come in pages."""

from collections.abc import AsyncIterator
from typing import Any

from app.client.address import segment
from app.client.connection import Connection

Document = dict[str, Any]


async def items(connection: Connection, path: str, *, page_size: int = 100, **params: Any) -> AsyncIterator[Document]:
    """Every item of a list, page by page, from behind ``after`` if that is given."""
    after = params.pop("after", None)
    has_more = True
    while has_more:
        page = await connection.get(path, **params, after=after, limit=page_size)
        for item in page["data"]:
            yield item
        has_more, after = page["has_more"], page["last_id"]


async def log_lines(
    connection: Connection, job_id: str, *, to_the_end: bool, node: int = 0, pause_seconds: float = 1.0
) -> AsyncIterator[tuple[int | None, str]]:
    """Attempt and text of every line that the node's trainer wrote; ``to_the_end``: until the job has ended."""
    cursor: str | None = None
    while True:
        page = await connection.get(f"/jobs/{segment(job_id)}/logs", after=cursor, node=node)
        for line in page["lines"]:
            yield page["attempt"], line
        moved = page["next"] != cursor
        cursor = page["next"]
        if page["ended"] or (not to_the_end and not page["lines"] and not moved):
            return
        if not page["lines"] and not (moved and not to_the_end):
            await connection.transport.sleep(pause_seconds)
