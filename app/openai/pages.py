"""Lists as OpenAI's clients read them: they ask again with ``after=<last id>`` while ``has_more`` is true."""

from collections.abc import Sequence
from datetime import datetime
from typing import Generic, Literal, TypeVar

from pydantic import BaseModel


class Listed(BaseModel):
    """What a list can hold."""

    id: str


Item = TypeVar("Item", bound=Listed)


class Page(BaseModel, Generic[Item]):
    object: Literal["list"] = "list"
    data: list[Item]
    has_more: bool
    first_id: str | None
    last_id: str | None


def page(data: Sequence[Item], *, has_more: bool) -> Page[Item]:
    """The page of these, which may be none."""
    return Page(
        data=list(data),
        has_more=has_more,
        first_id=data[0].id if data else None,
        last_id=data[-1].id if data else None,
    )


def unix_seconds(moment: datetime) -> int:
    """Whole seconds, cut off: clients refuse fractions."""
    return int(moment.timestamp())


def optional_seconds(moment: datetime | None) -> int | None:
    return None if moment is None else unix_seconds(moment)
