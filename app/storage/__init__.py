"""Where bytes live: in the home, or, with ``TUNERY_ARTEFACTS_URL``, in a store of which the home is this machine's mirror."""

from app.storage.errors import StoreUnavailable
from app.storage.folders import (
    discard_copy,
    fetch,
    fetch_whole,
    is_stored,
    look_at,
    opened,
    presigned,
    publish,
    put_file,
    read,
    remote_store,
    remove,
    remove_stored,
    renew,
    resting,
    stored_folders,
    verify,
)
from app.storage.holding import held

__all__ = [
    "StoreUnavailable",
    "discard_copy",
    "fetch",
    "fetch_whole",
    "held",
    "is_stored",
    "look_at",
    "opened",
    "presigned",
    "publish",
    "put_file",
    "read",
    "remote_store",
    "remove",
    "remove_stored",
    "renew",
    "resting",
    "stored_folders",
    "verify",
]
