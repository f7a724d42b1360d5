"""The Hub token of an attempt: a file without a name, in memory, that only the trainer's own processes hold.

It is in no folder and no environment, and it is gone with the last process that holds it, however that ends.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import structlog
from pydantic import SecretStr

from app.hub_token import service as hub_tokens
from worker import isolation

log = structlog.get_logger(__name__)

HUB_VARIABLE: Final = "HF_TOKEN"
"""Of the worker: the token of jobs whose project has none of its own. Trainers do not see the variable."""


def token_of(project_id: str) -> SecretStr | None:
    """What jobs of the project read the Hub with. Raises Unavailable if it cannot be decrypted."""
    own = hub_tokens.token_of(project_id)
    if own is not None:
        return own
    servers = os.environ.get(HUB_VARIABLE, "").strip()
    return SecretStr(servers) if servers else None


@contextmanager
def handed_over(token: SecretStr | None) -> Iterator[int | None]:
    """A descriptor to be inherited by the trainer, from which it can read the token; None without one."""
    if token is None:
        yield None
        return
    if sys.platform != "linux":
        log.warning("the trainer gets no Hub token: this system has no files in memory")
        yield None
        return
    descriptor = os.memfd_create("hub-token", os.MFD_CLOEXEC)
    try:
        os.fchmod(descriptor, 0o600)
        owner = isolation.confinement().user
        if owner is not None:
            os.fchown(descriptor, owner, -1)
        os.write(descriptor, token.get_secret_value().encode())
        yield descriptor
    finally:
        os.close(descriptor)
