"""Who may ask a predictor over TCP: CurveZMQ, with both key pairs made from one secret that API and predictor share.

The secret is ``TUNERY_PREDICTOR_KEY``, or the file ``predictor.key`` of the home. A local socket needs none: its folder is closed to others.
"""

import hashlib
import secrets
from dataclasses import dataclass
from typing import Final

import zmq
from zmq.utils import z85

from app.config import Settings
from app.private_file import read_or_make

KEY_FILE: Final = "predictor.key"


@dataclass(frozen=True, kw_only=True)
class KeyPair:
    public: bytes
    secret: bytes


@dataclass(frozen=True, kw_only=True)
class CurveKeys:
    """Either side knows both pairs, and takes the other for what it says if it has the other's."""

    predictor: KeyPair
    api: KeyPair


def curve_keys(settings: Settings, *, address: str) -> CurveKeys | None:
    """For a connection at ``address``; None for a local socket. The secret is made if there is none."""
    if address.startswith("ipc://"):
        return None
    if settings.predictor_key is not None:
        secret = settings.predictor_key.get_secret_value().encode()
    else:
        secret = read_or_make(settings.home_dir / KEY_FILE, lambda: secrets.token_hex(32).encode())
    return CurveKeys(predictor=_pair(b"predictor", secret), api=_pair(b"api", secret))


def _pair(role: bytes, secret: bytes) -> KeyPair:
    """Any 32 bytes are a secret key of Curve25519."""
    key = z85.encode(hashlib.sha256(b"tunery curve\0" + role + b"\0" + secret).digest())
    return KeyPair(public=zmq.curve_public(key), secret=key)
