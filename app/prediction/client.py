"""The API's line to a predictor: one asynchronous DEALER per process, shared by all requests.

A predictor that dies is noticed by its connection's end, at once; one that hangs, by its silence. Either way callers get
``Unavailable`` and are not kept waiting, and the connection comes back by itself.
"""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import Final, NotRequired, TypedDict, Unpack

import msgspec
import structlog
import zmq
from zmq.utils.monitor import parse_monitor_message

from app.errors import Unavailable
from app.prediction.answers import Answers
from app.prediction.curve import CurveKeys
from app.prediction.sampling import sampling_of
from app.prediction.schemas import PredictParameters
from app.prediction.wire import (
    MAX_MESSAGE_BYTES,
    Answer,
    Cancel,
    Failure,
    Measure,
    Measured,
    Piece,
    Ping,
    Pong,
    Predict,
    Prediction,
    Question,
    decode_answer,
    encode,
)

log = structlog.get_logger(__name__)

CONNECT_SECONDS: Final = 1.0
"""How long a question waits for the connection, and a ping for its pong."""
SILENCE_SECONDS: Final = 5.0
"""A predictor that owes an answer and says nothing for so long hangs. While it loads a large vocabulary the interpreter
lock may be held for a second or two."""
PING_SECONDS: Final = 1.0
RETRY_AFTER_SECONDS: Final = 2.0
MESSAGES_PER_TURN: Final = 256
"""Answers taken at once, before others on the event loop have their turn."""


class Asking(TypedDict):
    """Whom to ask, and how."""

    model_id: str
    folder: str
    manifest_sha256: str
    timeout_seconds: float
    words: NotRequired[list[list[tuple[int, int]] | None] | None]
    parameters: NotRequired[PredictParameters]


class PredictorClient:
    """Questions and answers over one connection. Must be made and used on one running event loop."""

    def __init__(self, address: str, *, keys: CurveKeys | None = None) -> None:
        """``keys`` for an address that is no local socket."""
        self.address = address
        self.loop = asyncio.get_running_loop()
        self._ids = itertools.count(1)
        self._pending: dict[int, Answers] = {}
        self._connected = asyncio.Event()
        self._heard_at = time.monotonic()
        # Not zmq.asyncio: its futures and timers for each message cost more than the message.
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.IMMEDIATE, 1)  # nothing is queued for a predictor that is not there
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
        self._socket.setsockopt(zmq.RECONNECT_IVL, 100)
        if keys is not None:
            self._socket.setsockopt(zmq.CURVE_SERVERKEY, keys.predictor.public)
            self._socket.setsockopt(zmq.CURVE_PUBLICKEY, keys.api.public)
            self._socket.setsockopt(zmq.CURVE_SECRETKEY, keys.api.secret)
        self._monitor = self._socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
        self._socket.connect(address)
        self.loop.add_reader(self._socket.fileno(), self._read)
        self.loop.add_reader(self._monitor.fileno(), self._read_events)
        # A descriptor tells that something has come, once, and only after all before it has been taken.
        self.loop.call_soon(self._read)
        self.loop.call_soon(self._read_events)
        self._watching = asyncio.create_task(self._watch_silence())

    async def predict(self, inputs: Sequence[tuple[str, str | None]], **asking: Unpack[Asking]) -> Prediction | Failure:
        """Ask the predictor. Raises Unavailable if it is not there, goes away, or takes too long."""
        question = self._question(inputs, asking, in_pieces=False)
        with _in_time(asking):
            async with asyncio.timeout(asking["timeout_seconds"]):
                await self._be_connected()
                with self._asked(question) as answers:
                    answer = await answers.next()
        if isinstance(answer, Piece | Pong | Measured):
            raise TypeError(f"a {type(answer).__name__} answered a prediction")
        return answer

    def stream(
        self, inputs: Sequence[tuple[str, str | None]], **asking: Unpack[Asking]
    ) -> AsyncGenerator[Piece | Prediction | Failure]:
        """Ask for one text as it comes: pieces of it, and last a prediction or a failure.

        Pieces that are not taken in time come merged. Raises as ``predict`` does, between any two of them. Closing the
        generator, or cancelling who waits for it, tells the predictor to stop.
        """
        return self._stream(self._question(inputs, asking, in_pieces=True), asking)

    def _question(self, inputs: Sequence[tuple[str, str | None]], asking: Asking, *, in_pieces: bool) -> Predict:
        parameters = asking.get("parameters") or PredictParameters()
        return Predict(
            request_id=next(self._ids),
            model_id=asking["model_id"],
            folder=asking["folder"],
            manifest_sha256=asking["manifest_sha256"],
            inputs=list(inputs),
            words=asking.get("words"),
            timeout_ms=asking["timeout_seconds"] * 1000,
            function_to_apply=parameters.function_to_apply,
            top_k=parameters.top_k,
            threshold=parameters.threshold,
            sampling=sampling_of(parameters),
            stream=in_pieces,
            max_answer_len=parameters.max_answer_len,
            handle_impossible_answer=parameters.handle_impossible_answer,
        )

    async def _stream(self, question: Predict, asking: Asking) -> AsyncGenerator[Piece | Prediction | Failure]:
        await self._be_connected()
        deadline = self.loop.time() + asking["timeout_seconds"]
        with self._asked(question) as answers, _in_time(asking):
            while not answers.is_at_end:
                async with asyncio.timeout_at(deadline):
                    answer = await answers.next()
                if isinstance(answer, Pong | Measured):
                    raise TypeError(f"a {type(answer).__name__} answered a prediction")
                yield answer

    async def ping(self) -> Pong | None:
        """What the predictor says of itself; None if it does not answer within a second."""
        answer = await self._ask_of_itself(Ping(request_id=next(self._ids)))
        return answer if isinstance(answer, Pong) else None

    async def measure(self) -> str | None:
        """What the predictor has counted, in Prometheus' text format; None if it does not answer within a second."""
        answer = await self._ask_of_itself(Measure(request_id=next(self._ids)))
        return answer.text if isinstance(answer, Measured) else None

    async def _ask_of_itself(self, question: Ping | Measure) -> Answer | None:
        with contextlib.suppress(TimeoutError, Unavailable):
            await self._be_connected()
            async with asyncio.timeout(CONNECT_SECONDS):
                with self._asked(question) as answers:
                    return await answers.next()
        return None

    async def close(self) -> None:
        """Leave; callers still waiting get Unavailable."""
        self._watching.cancel()
        await asyncio.gather(self._watching, return_exceptions=True)
        self._fail_all()
        self.loop.remove_reader(self._socket.fileno())
        self.loop.remove_reader(self._monitor.fileno())
        self._socket.disable_monitor()
        self._monitor.close(linger=0)
        self._socket.close(linger=0)
        self._context.term()

    def abandon(self) -> None:
        """Let go of the sockets when the loop they lived on has ended."""
        with contextlib.suppress(RuntimeError, zmq.ZMQError):
            self._context.destroy(linger=0)

    async def _be_connected(self) -> None:
        """Wait for the connection a moment. Raises Unavailable."""
        if self._connected.is_set():
            return
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._connected.wait()
        except TimeoutError:
            raise _gone() from None

    @contextlib.contextmanager
    def _asked(self, question: Question) -> Iterator[Answers]:
        """What comes back while the block lasts. If that is not all, the predictor is told that nobody waits for the rest."""
        answers = Answers()
        if not self._pending:
            self._heard_at = time.monotonic()
        self._pending[question.request_id] = answers
        try:
            self._send(question)
            yield answers
        finally:
            del self._pending[question.request_id]
            if not answers.is_complete:
                with contextlib.suppress(Unavailable):
                    self._send(Cancel(request_id=question.request_id))

    def _send(self, question: Question) -> None:
        """Send without waiting, so that who is being cancelled can do it too. Raises Unavailable."""
        try:
            self._socket.send(encode(question), zmq.NOBLOCK)
        except zmq.Again:
            raise _gone() from None
        # Sending may have seen what the descriptor would have told of.
        if self._has_answers():
            self.loop.call_soon(self._read)

    def _read(self) -> None:
        """Take what lies there."""
        if self._socket.closed:
            return
        for _ in range(MESSAGES_PER_TURN):
            if not self._has_answers():
                return
            self._take(self._socket.recv(zmq.NOBLOCK))
        self.loop.call_soon(self._read)

    def _has_answers(self) -> bool:
        """Asking costs less than the exception of a socket that has none."""
        return bool(self._socket.get(zmq.EVENTS) & zmq.POLLIN)  # type: ignore[arg-type,operator]

    def _take(self, frame: bytes) -> None:
        self._heard_at = time.monotonic()
        try:
            answer = decode_answer(frame)
        except msgspec.MsgspecError as error:
            log.warning("message of the predictor dropped", reason=str(error))
            return
        if (answers := self._pending.get(answer.request_id)) is not None:
            answers.take(answer)

    def _read_events(self) -> None:
        """Take note of connections made and lost."""
        with contextlib.suppress(zmq.Again):
            while not self._monitor.closed:
                event = parse_monitor_message(self._monitor.recv_multipart(zmq.NOBLOCK))["event"]
                if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                    self._connected.set()
                else:
                    self._connected.clear()
                    self._fail_all()

    async def _watch_silence(self) -> None:
        """While answers are owed, ask whether the predictor still lives."""
        while True:
            await asyncio.sleep(PING_SECONDS)
            if not self._pending:
                continue
            silent_seconds = time.monotonic() - self._heard_at
            if silent_seconds > SILENCE_SECONDS:
                log.warning("predictor hangs", silent_seconds=round(silent_seconds, 1))
                self._fail_all()
            elif silent_seconds > PING_SECONDS / 2:
                with contextlib.suppress(Unavailable):
                    self._send(Ping(request_id=next(self._ids)))

    def _fail_all(self) -> None:
        for answers in self._pending.values():
            answers.fail(_gone())


@contextlib.contextmanager
def _in_time(asking: Asking) -> Iterator[None]:
    """Raises Unavailable for an answer that did not come in time."""
    try:
        yield
    except TimeoutError as error:
        raise Unavailable(
            f"The model did not answer within {asking['timeout_seconds']:g} seconds.",
            code="prediction_timeout",
            retry_after_seconds=RETRY_AFTER_SECONDS,
        ) from error


def _gone() -> Unavailable:
    return Unavailable(
        "The predictor does not answer just now.",
        code="predictor_unavailable",
        hint="It is restarted by itself; ask again in a few seconds.",
        retry_after_seconds=RETRY_AFTER_SECONDS,
    )
