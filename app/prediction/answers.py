"""What comes back to one question, kept until it is asked for."""

import asyncio

from app.errors import ServiceError
from app.prediction.wire import Answer, Piece


class Answers:
    """Pieces, perhaps, and a last answer. Pieces that nobody took yet become one, so no more than the text itself is kept."""

    def __init__(self) -> None:
        self._pieces: list[Piece] = []
        self._last: Answer | ServiceError | None = None
        self._is_taken = False
        self._changed = asyncio.Event()

    @property
    def is_complete(self) -> bool:
        """The predictor owes nothing more."""
        return self._last is not None

    @property
    def is_at_end(self) -> bool:
        """``next`` has given the last answer."""
        return self._is_taken

    def take(self, answer: Answer) -> None:
        """Keep an answer that came; nothing comes after the last one."""
        if self._last is not None:
            return
        if isinstance(answer, Piece):
            self._pieces.append(answer)
        else:
            self._last = answer
        self._changed.set()

    def fail(self, error: ServiceError) -> None:
        """There will be no more answers."""
        if self._last is None:
            self._last = error
            self._changed.set()

    async def next(self) -> Answer:
        """The pieces that came since the last call as one, or the last answer. Raises the error with which all failed."""
        await self._changed.wait()
        if self._pieces:
            pieces, self._pieces = self._pieces, []
            if self._last is None:
                self._changed.clear()
            return Piece(request_id=pieces[0].request_id, tokens=[token for piece in pieces for token in piece.tokens])
        assert self._last is not None
        self._is_taken = True
        if isinstance(self._last, ServiceError):
            raise self._last
        return self._last
