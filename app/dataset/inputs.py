"""Which rows ask the same, and whether they are answered alike. Rows are told apart by hashes, so that none need be kept."""

import hashlib
from array import array
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, Final

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from app.dataset.profile import Conflict, InputsProfile
from app.dataset.resolved import ResolvedData
from app.dataset.source import Row
from app.spec.base import ProblemType

MAX_ROWS: Final = 2**20
"""So many rows of an upload are compared with each other: 16 MiB of hashes, and seconds."""
NUM_SHOWN: Final = 5
"""Conflicts, and rows of each, that are shown."""
MAX_SHOWN_CHARS: Final = 200
_HASH_BYTES: Final = 8

_HAS_ONE_ANSWER: Final[frozenset[ProblemType]] = frozenset(
    {"single_label_classification", "multi_label_classification", "regression", "token_classification"}
)
"""Other problems take several right answers: those to a prompt, or different questions' about one place."""


class Inputs:
    """Hashes of what each row asks (its texts) and of what is answered (its label), in the order of the rows."""

    def __init__(self, resolved: ResolvedData) -> None:
        self._resolved = resolved
        self._texts = resolved.text_columns
        self._label = resolved.label if resolved.problem_type in _HAS_ONE_ANSWER else None
        self._is_set = resolved.problem_type == "multi_label_classification" or resolved.spans
        """Whether the label is a list in no order."""
        self.hashes = array("Q")
        self._answers = array("Q")

    def add(self, row: Row) -> None:
        self.hashes.append(_hash([row.get(name) for name in self._texts]))
        if self._label is not None:
            label = _plain(row.get(self._label))
            self._answers.append(_hash(sorted({_hash(item) for item in label}) if self._is_set and label else label))

    def profile(self, again: Callable[[], Iterable[Row]]) -> InputsProfile:
        """What was found. ``again`` gives the same rows, which are read as far as the conflicts go that are shown."""
        resolved = self._resolved
        hashes = _column(self.hashes)
        order = pc.array_sort_indices(hashes)  # stable, so that equal ones stay in the order of their rows
        ordered = hashes.take(order)
        is_repeat = pc.equal(ordered[1:], ordered[:-1])
        conflicting: list[list[int]] = []
        if self._label is not None:
            answers = _column(self._answers).take(order)
            differs = pc.and_(is_repeat, pc.not_equal(answers[1:], answers[:-1]))
            conflicting = _groups(ordered, order, chosen=pc.unique(ordered[1:].filter(differs)))
        return InputsProfile(
            text=resolved.text,
            text_pair=resolved.text_pair,
            label=resolved.label,
            problem_type=resolved.problem_type,
            num_rows=len(hashes),
            num_repeated=pc.sum(is_repeat, min_count=0).as_py(),
            num_conflicting_inputs=len(conflicting),
            num_conflicting_rows=sum(len(group) for group in conflicting),
            conflicts=_shown(conflicting[:NUM_SHOWN], again, resolved),
        )


def profile_inputs(rows: Callable[[], Iterable[Row]], resolved: ResolvedData) -> InputsProfile:
    """Of the first ``MAX_ROWS``. ``rows`` is called again where there are conflicts to be shown."""
    inputs = Inputs(resolved)
    for row in islice(rows(), MAX_ROWS):
        inputs.add(row)
    return inputs.profile(rows)


def _plain(label: Any) -> Any:
    """A whole number that is written with a point is the integer."""
    if isinstance(label, list | tuple):
        return [_plain(item) for item in label]
    return int(label) if isinstance(label, float) and label.is_integer() else label


def _hash(value: Any) -> int:
    content = orjson.dumps(value, default=repr, option=orjson.OPT_SORT_KEYS)
    return int.from_bytes(hashlib.blake2b(content, digest_size=_HASH_BYTES).digest(), "little")


def _column(values: "array[int]") -> pa.UInt64Array:
    if not values:
        return pa.array([], type=pa.uint64())
    return pa.Array.from_buffers(pa.uint64(), len(values), [None, pa.py_buffer(values)])


def _groups(ordered: pa.Array, order: pa.Array, *, chosen: pa.Array) -> list[list[int]]:
    """Row numbers from 1 of each of the chosen hashes; the group that is complete first comes first."""
    if len(chosen) == 0:
        return []
    is_chosen = pc.is_in(ordered, value_set=chosen)
    groups: dict[int, list[int]] = {}
    for value, row in zip(ordered.filter(is_chosen).to_pylist(), order.filter(is_chosen).to_pylist(), strict=True):
        groups.setdefault(value, []).append(row + 1)
    return sorted(groups.values(), key=lambda rows: rows[1])


def _shown(groups: list[list[int]], again: Callable[[], Iterable[Row]], resolved: ResolvedData) -> list[Conflict]:
    if not groups:
        return []
    numbers = {number for group in groups for number in group[:NUM_SHOWN]}
    found = {number: row for number, row in enumerate(islice(again(), max(numbers)), start=1) if number in numbers}
    names = dict(zip(resolved.label_values, resolved.label_names, strict=False))
    return [
        Conflict(
            rows=group[:NUM_SHOWN],
            num_rows=len(group),
            labels=[shown_label(found[number].get(resolved.label or ""), names) for number in group[:NUM_SHOWN]],
            text=shown_text(found[group[0]].get(resolved.text)),
            text_pair=None if resolved.text_pair is None else shown_text(found[group[0]].get(resolved.text_pair)),
        )
        for group in groups
    ]


def shown_text(value: Any) -> str:
    """A text, or words with spaces between them, cut to what is shown."""
    text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= MAX_SHOWN_CHARS else text[: MAX_SHOWN_CHARS - 1] + "…"


def shown_label(value: Any, names: dict[Any, str]) -> str:
    """A label by its name, several joined by commas, cut to what is shown."""
    if isinstance(value, list):
        return shown_text(", ".join(shown_label(item, names) for item in value) or "(none)")
    if isinstance(value, dict):
        return shown_text(f"{value.get('label')} {value.get('start')}–{value.get('end')}")
    return shown_text(names.get(value, value))
