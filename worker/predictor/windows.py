"""A question and a context as a model reads them: whole where they fit, else in windows of the context that overlap.

Only the context is cut. Windows begin where those of a tokenizer's own ``stride`` do.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from app.spec.words import Span
from worker.predictor.encoded import EncodedText
from worker.predictor.errors import UnfitInputError

LEAST_ROOM: Final = 8
"""Tokens that a question must leave for the context."""
MOST_WINDOWS: Final = 1_024
"""Of a context, and of all contexts of a request: some 400,000 tokens of an encoder that reads 512 at a time."""
NO_CHARACTERS: Final[Span] = (0, 0)
"""Where a token is that is none of the context."""

_QUESTION, _CONTEXT = 0, 1
_CHUNK: Final = 1_000
"""Questions tokenised at once."""


def encode_questions(
    tokenizer: Any, pairs: Sequence[tuple[str, str]], *, max_length: int, doc_stride: int
) -> list[EncodedText]:
    """The windows of each question and context. Raises UnfitInputError for one that is too long."""
    has_types = "token_type_ids" in tokenizer.model_input_names
    found = []
    for begin in range(0, len(pairs), _CHUNK):
        questions, contexts = zip(*pairs[begin : begin + _CHUNK], strict=True)
        batch = tokenizer(list(questions), list(contexts), truncation=False, return_attention_mask=False, verbose=False)
        for index, encoding in enumerate(batch.encodings, start=begin):
            try:
                windows = _windows(encoding, max_length=max_length, doc_stride=doc_stride, has_types=has_types)
            except _TooLongError as error:
                raise UnfitInputError(str(error), index=index) from error
            found.append(EncodedText(input_ids=[], token_type_ids=None, truncated=False, windows=windows))
    return found


class _TooLongError(Exception):
    pass


def _windows(encoding: Any, *, max_length: int, doc_stride: int, has_types: bool) -> list[EncodedText]:
    parts = encoding.sequence_ids
    at = [place for place, part in enumerate(parts) if part == _CONTEXT]
    first, behind = (at[0], at[-1] + 1) if at else (len(parts), len(parts))
    room = max_length - len(parts) + (behind - first)
    if behind - first > room and room < LEAST_ROOM:
        raise _TooLongError(
            f"the question has {parts.count(_QUESTION):,} tokens: of the {max_length} that the model reads it leaves "
            f"{max(0, room)} to the context, and {LEAST_ROOM} are the least"
        )
    ids, types, spans = encoding.ids, encoding.type_ids, np.array(encoding.offsets, dtype=np.int32).reshape(-1, 2)
    spans[[part != _CONTEXT for part in parts]] = NO_CHARACTERS
    cuts = cut_windows(behind - first, room=room, overlap=doc_stride)
    if len(cuts) > MOST_WINDOWS:
        raise _TooLongError(
            f"the context is read in {len(cuts):,} windows, more than {MOST_WINDOWS:,}: send it in parts"
        )
    windows = []
    for start, end in cuts:
        places = [*range(first), *range(first + start, first + end), *range(behind, len(parts))]
        windows.append(
            EncodedText(
                input_ids=[ids[place] for place in places],
                token_type_ids=[types[place] for place in places] if has_types else None,
                truncated=False,
                first_tokens=range(len(places)),
                spans=spans[places],
            )
        )
    return windows


def cut_windows(length: int, *, room: int, overlap: int) -> list[Span]:
    """Parts ``[start, end)`` of a context of ``length`` tokens, each within ``room``, next ones sharing ``overlap``.

    They share half a window at most, so that their number stays in proportion to the context's length.
    """
    step = room - min(overlap, room // 2)
    windows = [(0, min(length, room))]
    while windows[-1][1] < length:
        start = windows[-1][0] + step
        windows.append((start, min(length, start + room)))
    return windows
