"""How an API key looks, and what is kept of it.

``tk_<prefix>_<secret>``: the prefix finds the row, the secret is 256 random bits. Of the whole only a plain SHA-256 is kept:
slow hashes protect what people make up, and nobody goes through 2^256 keys, however quick one trial is.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from typing import Final

PREFIX_BYTES: Final = 6
SECRET_BYTES: Final = 32
_FORM: Final = re.compile(r"tk_([0-9a-f]{12})_[A-Za-z0-9_-]{43}", re.ASCII)
NO_KEY: Final = "0" * 64
"""What a key is compared with that no row has: it takes as long."""


@dataclass(frozen=True, kw_only=True)
class NewSecret:
    key: str = field(repr=False)
    """To be shown once."""
    prefix: str
    sha256: str


def make() -> NewSecret:
    prefix = secrets.token_hex(PREFIX_BYTES)
    key = f"tk_{prefix}_{secrets.token_urlsafe(SECRET_BYTES)}"
    return NewSecret(key=key, prefix=prefix, sha256=digest(key))


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def prefix_of(key: str) -> str | None:
    """None: that is no key of this service, which need not be looked up."""
    match = _FORM.fullmatch(key)
    return None if match is None else match[1]


def is_of(key: str, sha256: str) -> bool:
    """Whether that is the hash of ``key``; compared in constant time."""
    return hmac.compare_digest(digest(key), sha256)
