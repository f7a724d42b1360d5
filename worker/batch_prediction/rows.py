"""Rows of a file as inputs of a model, and in the portions in which they are asked and stored."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from app.dataset.source import Row
from app.spec.base import TaskName
from app.spec.prediction import InputColumns
from app.spec.words import Span, join_words

MOST_ROWS: Final = 4_096
MOST_CHARS: Final = 2**22
"""Of the texts of a portion: long ones make it shorter, so that a portion is a matter of a minute."""
MOST_WRITTEN: Final = 128
"""Rows of a portion whose answers are written token by token."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Input:
    """What the model is asked about a row."""

    row: int
    """1-based."""
    text: str = ""
    text_pair: str | None = None
    words: list[Span] | None = None
    problem: str | None = None
    """Why it cannot be asked about the row."""

    @property
    def num_chars(self) -> int:
        return len(self.text) + len(self.text_pair or "")


def read_inputs(rows: Iterable[Row], *, columns: InputColumns, task: TaskName, done: int) -> Iterator[Input]:
    """The inputs of the rows behind the first ``done``."""
    for number, row in enumerate(rows, start=1):
        if number > done:
            yield _read(row, number, columns=columns, task=task)


def in_portions(inputs: Iterable[Input], *, most_rows: int) -> Iterator[list[Input]]:
    """All of them in their order.

    Where one portion ends depends on nothing but where it began, so that an attempt which goes on behind a portion makes the same
    ones, and with them the same batches and the same bytes.
    """
    portion: list[Input] = []
    num_chars = 0
    for item in inputs:
        portion.append(item)
        num_chars += item.num_chars
        if len(portion) >= most_rows or num_chars >= MOST_CHARS:
            yield portion
            portion, num_chars = [], 0
    if portion:
        yield portion


def _read(row: Row, number: int, *, columns: InputColumns, task: TaskName) -> Input:
    value = row.get(columns.text)
    pair = None if columns.text_pair is None else row.get(columns.text_pair)
    if pair is not None and not isinstance(pair, str):
        return Input(row=number, problem=f"{columns.text_pair!r} holds no text")
    if task == "question-answering" and (pair is None or not pair.strip()):
        return Input(row=number, problem=f"{columns.text_pair!r} holds no context")
    if isinstance(value, list | tuple) and task == "token-classification":
        return _read_words(value, number, name=columns.text)
    if isinstance(value, list | tuple) and task == "text-generation":
        return _read_chat(value, number, name=columns.text)
    if not isinstance(value, str) or not value.strip():
        return Input(row=number, problem=f"{columns.text!r} holds no text")
    return Input(row=number, text=value, text_pair=pair)


def _read_words(words: Sequence[Any], number: int, *, name: str) -> Input:
    if not words or not all(isinstance(word, str) for word in words):
        return Input(row=number, problem=f"{name!r} holds no words")
    text, spans = join_words(words)
    return Input(row=number, text=text, words=spans)


def _read_chat(messages: Sequence[Any], number: int, *, name: str) -> Input:
    """As the API writes a chat for the predictor."""
    try:
        kept = [{"role": message["role"], "content": message["content"]} for message in messages]
    except (KeyError, TypeError):
        kept = []
    if not kept or not all(isinstance(part, str) for message in kept for part in message.values()):
        return Input(row=number, problem=f"{name!r} holds no messages with a role and a content")
    return Input(row=number, text=orjson.dumps({"messages": kept}).decode())
