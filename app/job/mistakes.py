"""What a finished model got wrong, by split and class."""

import re
from typing import Final, Literal

from app.db import reading
from app.errors import InvalidRequest
from app.job import records
from app.job.schemas import MistakeOut, MistakePage
from app.job.service import require

_NUMBER: Final = re.compile(r"\d{1,9}", re.ASCII)


def list_mistakes(
    job_id: str,
    *,
    split: Literal["validation", "test"],
    label: str | None,
    predicted: str | None,
    after: str | None,
    limit: int,
) -> MistakePage:
    """Worst first; only those in which ``label`` was not found and ``predicted`` was found wrongly, where these are given.

    Empty until the job has measured its model. Raises NotFound, and InvalidRequest if ``after`` is not the number of a mistake.
    """
    if after is not None and not _NUMBER.fullmatch(after):
        raise InvalidRequest(f"{after!r} is not the number of a mistake.", param="after", code="invalid_cursor")
    with reading() as session:
        require(session, job_id)
        stored = records.mistakes(session, job_id, split=split)
    kept = [] if stored is None else stored.mistakes
    found = [
        MistakeOut(number=number, **mistake)
        for number, mistake in enumerate(kept, start=1)
        if number > int(after or 0)
        and (label is None or label in mistake["missed"])
        and (predicted is None or predicted in mistake["wrong"])
    ]
    data = found[:limit]
    return MistakePage(
        split=split,
        rows_of=None if stored is None else stored.rows_of,
        num_examples=None if stored is None else stored.num_examples,
        num_wrong=None if stored is None else stored.num_wrong,
        num_kept=len(kept),
        data=data,
        has_more=len(found) > limit,
        first_id=str(data[0].number) if data else None,
        last_id=str(data[-1].number) if data else after,
    )
