"""Answers on their way to the socket: pieces of one text that wait are merged, so that a slow reader costs nothing but its text."""

import threading
from collections import OrderedDict

import msgspec
import zmq

from app.prediction.wire import Answer, Piece, encode


class Outbox:
    """Filled by any thread, emptied by the one that owns the socket, which must be a ROUTER with ``ROUTER_MANDATORY``."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: OrderedDict[bytes, list[Answer]] = OrderedDict()
        """By connection, in the order of their answers."""

    def put(self, identity: bytes, answer: Answer) -> None:
        with self._lock:
            answers = self._waiting.setdefault(identity, [])
            if isinstance(answer, Piece):
                for place in range(len(answers) - 1, -1, -1):
                    earlier = answers[place]
                    if isinstance(earlier, Piece) and earlier.request_id == answer.request_id:
                        answers[place] = msgspec.structs.replace(earlier, tokens=[*earlier.tokens, *answer.tokens])
                        return
            answers.append(answer)

    def send(self, router: zmq.Socket[bytes]) -> tuple[bool, list[bytes]]:
        """Send what the readers can take. Returns whether something is left, and which connections are gone."""
        with self._lock:
            waiting, self._waiting = self._waiting, OrderedDict()
        left: OrderedDict[bytes, list[Answer]] = OrderedDict()
        gone = []
        for identity, answers in waiting.items():
            try:
                for place, answer in enumerate(answers):  # noqa: B007  the first that was not taken is asked for below
                    router.send_multipart([identity, encode(answer)], zmq.NOBLOCK)
            except zmq.Again:
                left[identity] = answers[place:]
            except zmq.ZMQError as error:
                if error.errno != zmq.EHOSTUNREACH:
                    raise
                gone.append(identity)
        if left:
            self._put_back(left)
        return bool(left), gone

    def _put_back(self, left: OrderedDict[bytes, list[Answer]]) -> None:
        """Before what was put meanwhile."""
        with self._lock:
            newer, self._waiting = self._waiting, left
        for identity, answers in newer.items():
            for answer in answers:
                self.put(identity, answer)
