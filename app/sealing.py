"""Secrets that are kept encrypted at rest: AES-256-GCM under the one key of the service.

The key is derived from ``TUNERY_SECRET_KEY``, or from the file ``secret.key`` of the home, which is made when the first secret is
sealed. A sealed text names the key it was made with, so that a changed key is told from a damaged text.
"""

import base64
import hashlib
import os
import secrets
from typing import Final

from pydantic import SecretStr

from app.config import get_settings
from app.private_file import read_or_make

KEY_FILE: Final = "secret.key"
_VERSION: Final = "v1"
_NONCE_BYTES: Final = 12


class UnreadableSecretError(Exception):
    """It was sealed with another key, or for another purpose, or it is damaged."""


def seal(secret: SecretStr, *, purpose: str) -> str:
    """The secret as it may be stored. Only ``open_sealed`` with the same ``purpose`` reads it."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - few processes need it

    key = _key(make=True)
    nonce = os.urandom(_NONCE_BYTES)
    text = AESGCM(key).encrypt(nonce, secret.get_secret_value().encode(), purpose.encode())
    return f"{_VERSION}:{_name_of(key)}:{base64.urlsafe_b64encode(nonce + text).decode()}"


def open_sealed(sealed: str, *, purpose: str) -> SecretStr:
    """Raises UnreadableSecretError, whose text says why and holds nothing of the secret."""
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

    try:
        key = _key(make=False)
    except FileNotFoundError:
        raise UnreadableSecretError(
            f"there is neither TUNERY_SECRET_KEY nor {KEY_FILE} in the home of this process"
        ) from None
    version, _, rest = sealed.partition(":")
    name, _, text = rest.partition(":")
    if version != _VERSION or name != _name_of(key):
        raise UnreadableSecretError("it was encrypted with another key than this process has")
    try:
        raw = base64.urlsafe_b64decode(text)
        opened = AESGCM(key).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], purpose.encode())
    except (InvalidTag, ValueError):
        raise UnreadableSecretError("what is stored of it is damaged") from None
    return SecretStr(opened.decode())


def _key(*, make: bool) -> bytes:
    """Raises FileNotFoundError if there is none, and none is to be made."""
    configured = get_settings().secret_key
    if configured is not None:
        source = configured.get_secret_value().encode()
    else:
        path = get_settings().home_dir / KEY_FILE
        source = read_or_make(path, lambda: secrets.token_hex(32).encode()) if make else path.read_bytes()
    return hashlib.sha256(b"tunery sealing key\0" + source).digest()


def _name_of(key: bytes) -> str:
    return hashlib.sha256(b"name\0" + key).hexdigest()[:8]
