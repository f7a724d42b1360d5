"""The store itself: objects by their keys, over fsspec. What it does when it fails is told in the words of the service."""

import errno
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO, Final, Self, cast

import fsspec
import structlog

from app.storage.errors import StoreUnavailable

log = structlog.get_logger(__name__)

PART_BYTES: Final = 16 * 2**20
"""Of an upload in several parts, and of what is read at a time."""
PARTS_AT_A_TIME: Final = 4
PRESIGNED_SECONDS: Final = 300
_UNFINISHED: Final = ".part"
"""Of a name in a store that does not write an object whole or not at all."""
_OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "s3": {
        "use_listings_cache": False,
        "skip_instance_cache": True,
        "config_kwargs": {
            "connect_timeout": 5,
            "read_timeout": 20,
            "retries": {"total_max_attempts": 1},
            "signature_version": "s3v4",  # without it links are signed in a way that newer servers refuse
        },
    },
    "file": {"auto_mkdir": True},
}
_TRIES: Final = 3
"""Of a request to S3, with pauses that sum up to less than a second."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """An object of the store."""

    key: str
    size: int
    modified: datetime


class Remote:
    """Keys are relative to the URL, with slashes. Every method raises StoreUnavailable when the store does not answer.

    For any thread. Reading what is not there raises FileNotFoundError.
    """

    def __init__(self, url: str) -> None:
        protocol = url.partition("://")[0]
        self._files, root = fsspec.url_to_fs(url, **_OPTIONS.get(protocol, {}))
        if protocol == "s3":
            self._files.retries = _TRIES
        self._root = root.rstrip("/")
        self._replaces_in_place = protocol == "file"

    def put(self, path: Path, key: str) -> None:
        """Store a file; a large one in parts, where the store takes them. It is there whole or not at all."""
        parts = {} if self._replaces_in_place else {"chunksize": PART_BYTES, "max_concurrency": PARTS_AT_A_TIME}
        with _told(), self._appearing(key) as target:
            self._files.put_file(str(path), target, **parts)

    def write(self, key: str, content: bytes) -> None:
        with _told(), self._appearing(key) as target:
            self._files.pipe_file(target, content)

    def read(self, key: str, *, start: int = 0, end: int | None = None) -> bytes:
        """The bytes from ``start`` up to ``end``; fewer where the object ends before."""
        limits = {"start": start, "end": end} if start or end is not None else {}
        with _told():
            try:
                return bytes(self._files.cat_file(self._at(key), **limits))
            except OSError as error:
                if error.errno == errno.EINVAL:  # there is nothing at ``start``
                    return b""
                raise

    def open(self, key: str) -> BinaryIO:
        """The object as a file; reading it raises StoreUnavailable too."""
        with _told():
            opened = self._files.open(self._at(key), "rb", block_size=PART_BYTES, cache_type="readahead")
        return cast("BinaryIO", _Opened(opened))

    def entries(self, prefix: str) -> list[Entry]:
        """Every object below the folder ``prefix``."""
        with _told():
            try:
                found = self._files.find(self._at(prefix), detail=True)
            except FileNotFoundError as error:
                _refuse_without_bucket(error)
                return []
        return [
            Entry(key=name.removeprefix(self._root).lstrip("/"), size=info["size"], modified=_modified(info))
            for name, info in found.items()
            if not name.endswith(_UNFINISHED)
        ]

    def delete(self, keys: Iterable[str]) -> None:
        """One after the other, in that order. What is not there is no error."""
        with _told():
            for key in keys:
                try:
                    self._files.rm_file(self._at(key))
                except FileNotFoundError as error:
                    _refuse_without_bucket(error)

    def delete_below(self, prefix: str) -> None:
        with _told():
            try:
                self._files.rm(self._at(prefix), recursive=True)
            except FileNotFoundError as error:
                _refuse_without_bucket(error)

    def presigned(self, key: str, *, content_disposition: str, content_type: str) -> str | None:
        """A URL that anybody may read the object from for some minutes; None: this kind of store makes none."""
        told = {"ResponseContentDisposition": content_disposition, "ResponseContentType": content_type}
        try:
            with _told():
                return str(self._files.sign(self._at(key), expiration=PRESIGNED_SECONDS, **told))
        except NotImplementedError:
            return None

    def _at(self, key: str) -> str:
        return f"{self._root}/{key}" if key else self._root

    @contextmanager
    def _appearing(self, key: str) -> Iterator[str]:
        """Where to write what is to appear at ``key`` whole."""
        if not self._replaces_in_place:
            yield self._at(key)
            return
        unfinished = self._at(key) + _UNFINISHED
        yield unfinished
        self._files.mv(unfinished, self._at(key))


class _Opened:
    """A file of the store whose reading is told like all else of it."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        with _told():
            return bytes(self._file.read(size))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


@lru_cache(maxsize=1)
def remote_at(url: str) -> Remote:
    return Remote(url)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        _refuse_without_bucket(error)
        raise
    except _outages() as error:
        log.warning("the store of artefacts failed", error=str(error), kind=type(error).__name__)
        raise StoreUnavailable(type(error).__name__) from error


@lru_cache(maxsize=1)
def _outages() -> tuple[type[Exception], ...]:
    """What the libraries raise when a store cannot be reached, or does not let this process in."""
    if find_spec("botocore") is None:
        return (OSError,)
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  of the extra ``s3``

    return (OSError, BotoCoreError, ClientError)


def _refuse_without_bucket(error: FileNotFoundError) -> None:
    """A bucket that is not there is a fault of the settings, not of what was asked for."""
    if "bucket does not exist" in str(error):
        log.error("the bucket of TUNERY_ARTEFACTS_URL does not exist")
        raise StoreUnavailable("its bucket does not exist") from error


def _modified(info: dict[str, Any]) -> datetime:
    moment = info.get("LastModified", info.get("mtime", 0.0))
    return moment if isinstance(moment, datetime) else datetime.fromtimestamp(moment, tz=UTC)
