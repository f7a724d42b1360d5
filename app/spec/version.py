"""The version of the contract: what a worker must know to do a job as its spec says.

A field that older workers do not know is marked: ``new: Annotated[int, Since(2)] = 0``. A spec that leaves it at its default can be done by
any worker, which does as it always did; one that sets it asks for workers of that version. Whoever adds a field, or a value that older
workers do not know, raises ``CONTRACT_VERSION`` in the first change of a release that does so.
"""

from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel

CONTRACT_VERSION: Final = 1
"""The newest that this code knows."""


@dataclass(frozen=True)
class Since:
    """Marks a field that is known from that version of the contract on."""

    version: int


def needed_by(spec: Any) -> int:
    """The oldest version that knows all that is set in a spec; 1 is known to all."""
    match spec:
        case BaseModel():
            return max((_needed_by_field(spec, name) for name in type(spec).model_fields), default=1)
        case dict():
            return max(map(needed_by, spec.values()), default=1)
        case list() | tuple():
            return max(map(needed_by, spec), default=1)
    return 1


def _needed_by_field(spec: BaseModel, name: str) -> int:
    field, value = type(spec).model_fields[name], getattr(spec, name)
    marks = [mark.version for mark in field.metadata if isinstance(mark, Since)]
    if not marks or value == field.get_default(call_default_factory=True):
        return needed_by(value)
    return max(needed_by(value), *marks)
