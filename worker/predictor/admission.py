"""Whom a predictor lets in over TCP: the holder of the API's key, and nobody else, before a message of theirs is read."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import zmq
from zmq.auth.thread import ThreadAuthenticator

from app.prediction.curve import CurveKeys

DOMAIN: Final = b"tunery"
HEARTBEAT_MS: Final = 5_000
"""Over a network a connection can end without a word."""
HANDSHAKE_MS: Final = 5_000
"""A peer that has not said who it is by then is cut off."""


class _KnownKey:
    """What pyzmq asks whether a key is known."""

    def __init__(self, keys: CurveKeys) -> None:
        self._public = keys.api.public

    def callback(self, domain: str, key: bytes) -> bool:  # noqa: ARG002 - there is one domain
        return key == self._public


@contextmanager
def admitting(router: zmq.Socket[bytes], keys: CurveKeys | None) -> Iterator[None]:
    """Prepare ``router``, before it is bound, and decide who comes in until the block ends. Without keys nothing is done."""
    if keys is None:
        yield
        return
    router.setsockopt(zmq.CURVE_SERVER, 1)
    router.setsockopt(zmq.CURVE_SECRETKEY, keys.predictor.secret)
    router.setsockopt(zmq.ZAP_DOMAIN, DOMAIN)
    router.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)  # whoever is not asked about is not let in
    router.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
    router.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)
    doorkeeper = ThreadAuthenticator(router.context)
    doorkeeper.start()
    try:
        doorkeeper.configure_curve_callback(domain=DOMAIN.decode(), credentials_provider=_KnownKey(keys))
        yield
    finally:
        doorkeeper.stop()
