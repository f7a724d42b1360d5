"""All texts that one model is writing at present: each turn is one forward, which gives every one of them its next token.

Texts join between two tokens, after their prompts were read in a forward of their own, and leave as they end (continuous batching,
as in Orca, OSDI 2022). A turn is either read or written, in alternation where both are to be done, so that neither newcomers
nor long prompts, which are read in parts, keep those that are being written waiting for more than one forward.
"""

import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

import torch

from worker.predictor.joint_forward import ERRORS, JointForward
from worker.predictor.kv_cache import RowsCache, joined
from worker.predictor.writing import Writing, give

MOST_ROWS: Final = 64
"""Texts written at a time."""


class RunningBatch:
    """The texts of one model, written in common. For use by one thread at a time."""

    def __init__(self, forward: JointForward, *, bytes_per_token: int, max_tokens: int) -> None:
        self._forward = forward
        self._bytes_per_token = bytes_per_token
        self._max_tokens = max_tokens
        self._waiting: deque[Writing] = deque()
        self._reading: list[Writing] = []
        self._num_columns_read = 0
        self._reading_cache = RowsCache()
        self._rows: list[Writing] = []
        self._cache = RowsCache()
        self._has_just_read = False
        self._most_at_a_time = MOST_ROWS

    @property
    def num_wanted(self) -> int:
        """How many texts more may be added so that none of them waits long."""
        return max(0, MOST_ROWS - len(self._living()) - len(self._reading) - len(self._waiting))

    @property
    def reserved_bytes(self) -> int:
        """What the caches may grow to if all texts become as long as they may."""
        return self._bytes_for([*self._living(), *self._reading])

    def _living(self) -> list[Writing]:
        return [writing for writing in self._rows if not writing.is_over]

    def _bytes_for(self, writings: Sequence[Writing]) -> int:
        return len(writings) * max((writing.longest for writing in writings), default=0) * self._bytes_per_token

    def add(self, writings: Iterable[Writing]) -> None:
        self._waiting.extend(writings)

    @torch.inference_mode()
    def turn(self, *, max_bytes: int) -> None:
        """One forward at most. New texts join in their order as long as all fit into ``max_bytes``; one always does.

        Where it fails, such as for lack of memory, all texts that were begun have an error.
        """
        try:
            self._turn(max_bytes=max_bytes)
        except ERRORS as error:
            for writing in [*self._living(), *self._reading]:
                writing.error = error
            self._rows, self._cache = [], RowsCache()
            self._stop_reading()

    def _turn(self, *, max_bytes: int) -> None:
        must_write = self._has_just_read and bool(self._living())
        if not self._reading and not must_write:
            self._admit(max_bytes=max_bytes)
        if self._reading and not must_write:
            self._read()
            self._has_just_read = True
        else:
            self._write()
            self._has_just_read = False

    def _admit(self, *, max_bytes: int) -> None:
        living = self._living()
        while self._waiting and len(self._reading) < self._most_at_a_time:
            candidate = self._waiting[0]
            if candidate.is_over:
                self._waiting.popleft()
                continue
            group = [*self._reading, candidate]
            everybody = [*living, *group]
            width = max(writing.num_prompt for writing in group)
            if len(everybody) > 1 and (
                len(everybody) > MOST_ROWS
                or self._bytes_for(everybody) > max_bytes
                or (len(group) > 1 and width * len(group) > self._max_tokens)
            ):
                break
            candidate.begun_at = time.monotonic()
            self._reading.append(self._waiting.popleft())

    def _read(self) -> None:
        """Read the prompts, or the next part of a long one; with its last part each gets its first token."""
        group = self._reading
        width = max(writing.num_prompt for writing in group)
        start, end = self._num_columns_read, min(width, self._num_columns_read + max(1, self._max_tokens // len(group)))
        if all(writing.is_over for writing in group):
            self._stop_reading()
            return
        ids = torch.zeros((len(group), width), dtype=torch.int64)
        for row, writing in enumerate(group):
            ids[row, width - writing.num_prompt :] = torch.tensor(writing.read)
        try:
            lengths = [writing.num_prompt for writing in group]
            logits = self._forward(ids[:, start:end], cache=self._reading_cache, lengths=lengths, width=width)
        except ERRORS as error:
            self._stop_reading()
            if len(group) > 1:  # which of them it was is found out one by one
                self._waiting.extendleft(reversed(group))
                self._most_at_a_time = 1
            else:
                group[0].error = error
            return
        self._num_columns_read = end
        if end == width:
            give(group, logits)
            self._join()
        if not self._waiting:
            self._most_at_a_time = MOST_ROWS

    def _stop_reading(self) -> None:
        self._reading, self._reading_cache, self._num_columns_read = [], RowsCache(), 0

    def _join(self) -> None:
        """Those whose prompts were read become rows of the batch, and rows that are over leave it."""
        come = [place for place, writing in enumerate(self._reading) if not writing.is_over]
        self._keep(newcomers=[self._reading[place] for place in come], rows=come)
        self._stop_reading()

    def _keep(self, *, newcomers: Sequence[Writing] = (), rows: Sequence[int] = ()) -> None:
        """Lay the cache out anew for the texts that go on and for ``newcomers``, which are ``rows`` of the other cache."""
        kept = [place for place, writing in enumerate(self._rows) if not writing.is_over]
        if len(kept) == len(self._rows) and not newcomers:
            return
        self._rows = [*(self._rows[place] for place in kept), *newcomers]
        parts: list[tuple[RowsCache, Sequence[int]]] = [(self._cache, kept)] if kept else []
        if newcomers:
            parts.append((self._reading_cache, rows))
        # The newest token of each is not in the cache yet.
        width = max((len(writing.read) - 1 for writing in self._rows), default=0)
        self._cache = joined(parts, width=width) if parts else RowsCache()

    def _write(self) -> None:
        """The next token of every text."""
        self._keep()
        if not self._rows:
            return
        newest = torch.tensor([[writing.read[-1]] for writing in self._rows])
        lengths = [len(writing.read) for writing in self._rows]
        logits = self._forward(newest, cache=self._cache, lengths=lengths, width=self._cache.num_columns + 1)
        give(self._rows, logits)
