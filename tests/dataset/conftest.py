"""Rows, bytes and specs for the tests of the data side."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from app.dataset import inference
from app.dataset.profile import DatasetProfile
from app.dataset.profiler import profile_rows
from app.dataset.resolved import ResolvedData
from app.spec.job import JobSpec

FILE = "file-" + "0" * 32


def jsonl(rows: Iterable[Any]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def pieces(data: bytes, *, size: int) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def spec(**members: Any) -> JobSpec:
    return JobSpec.model_validate({"model": "org/base", "dataset": {"train": FILE}} | members)


def resolve(train: list[dict[str, Any]], *, names: list[str] | None = None, **members: Any) -> ResolvedData:
    """Resolve rows; ``validation`` and ``test`` are rows too, ``names`` the declared classes of ``label``."""
    declared = {"label": names} if names else None
    splits = {"train": train} | {s: members.pop(s) for s in ("validation", "test") if s in members}
    profiles: dict[Any, DatasetProfile] = {
        split: profile_rows(rows, class_names=declared if rows else None) for split, rows in splits.items()
    }
    return inference.resolve(spec(**members), profiles)
