"""Finished parts of the answer on the disk, each a sealed folder, and the one file that they make in the end.

A part is a checkpoint of its job: it counts once the worker has recorded it, and the next attempt goes on behind those that follow
upon each other from the first row on.
"""

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import orjson

from app import failpoints, ids
from app.dataset.profile import ColumnProfile
from app.dataset.profiler import profile_rows
from app.manifest import CorruptArtefactError, Manifest, committed_folder, read_manifest, verify
from app.spec.messages import CheckpointMessage, CorruptMessage, ResultFile
from worker.batch_prediction.asking import Answer
from worker.trainer.reporting import Reporter

LINES: Final = "lines.jsonl"
_RESULT: Final = "data.jsonl"
"""As uploads of this format are stored."""


@dataclass(frozen=True, kw_only=True)
class _Part:
    folder: Path
    first_row: int
    num_rows: int
    counts: dict[str, int]


class Parts:
    """Those of one job: restored ones of earlier attempts, and new ones in ``folder``."""

    def __init__(self, folder: Path, *, report: Reporter) -> None:
        self._folder, self._report = folder, report
        self._parts: list[_Part] = []

    @property
    def num_rows(self) -> int:
        """Rows that are done, from the first on."""
        return sum(part.num_rows for part in self._parts)

    def counts(self) -> dict[str, int]:
        """``num_errors``, ``num_truncated`` and ``num_tokens`` of all rows that are done."""
        total: Counter[str] = Counter({"num_errors": 0, "num_truncated": 0, "num_tokens": 0})
        for part in self._parts:
            total.update(part.counts)
        return dict(total)

    def restore(self, folders: Sequence[str]) -> None:
        """Take what earlier attempts did, up to the first part that is missing or damaged."""
        found: dict[int, _Part] = {}
        for folder in map(Path, folders):
            try:
                part = _part(folder, verify(folder))
            except CorruptArtefactError as error:
                self._report.send(CorruptMessage(path=str(folder), message=f"{error}; its rows are predicted again"))
            else:
                found[part.first_row] = part
        while (part_behind := found.get(self.num_rows + 1)) is not None:
            self._parts.append(part_behind)

    def write(self, answers: Sequence[Answer]) -> None:
        """Seal the answers to the rows behind those that are done, and tell of them."""
        first = self.num_rows + 1
        target = self._folder / f"rows-{first:012d}"
        shutil.rmtree(target, ignore_errors=True)  # only where a run directory is used again by hand
        about = {
            "first_row": first,
            "num_rows": len(answers),
            "counts": {
                "num_errors": sum(answer.problem is not None for answer in answers),
                "num_truncated": sum(answer.truncated for answer in answers),
                "num_tokens": sum(answer.num_tokens for answer in answers),
            },
        }
        with committed_folder(target, about=about) as temporary:
            (temporary / LINES).write_bytes(b"".join(map(_line, answers)))
        failpoints.reach("part.committed")
        manifest = read_manifest(target)
        self._parts.append(_part(target, manifest))
        self._report.send(
            CheckpointMessage(
                path=str(target),
                step=self.num_rows,
                epoch=0.0,
                is_best=False,
                resumable=True,
                metrics={},
                manifest_sha256=manifest.sha256,
                size_bytes=manifest.size_bytes,
            )
        )
        failpoints.reach("part.told")

    def join(self, folder: Path, *, filename: str) -> ResultFile:
        """One file of all parts, sealed in ``folder``."""
        shutil.rmtree(folder, ignore_errors=True)
        with committed_folder(folder) as temporary, (temporary / _RESULT).open("wb") as file:
            profile = profile_rows(self._copied(file))
            file.flush()
        columns = [_without_values(column) for column in profile.columns]
        return ResultFile(
            file_id=ids.new_id(ids.FILE),
            folder=str(folder),
            filename=filename,
            stored_as=_RESULT,
            purpose="predictions",
            format="jsonl",
            profile=profile.model_copy(update={"columns": columns}).model_dump(mode="json"),
        )

    def _copied(self, file: BinaryIO) -> Iterator[dict[str, Any]]:
        """All rows, each once its line was written to ``file``."""
        for part in self._parts:
            self._report.goes_on()
            for line in (part.folder / LINES).read_bytes().splitlines(keepends=True):
                file.write(line)
                yield orjson.loads(line)


def _part(folder: Path, manifest: Manifest) -> _Part:
    about = manifest.about
    return _Part(folder=folder, first_row=about["first_row"], num_rows=about["num_rows"], counts=about["counts"])


def _line(answer: Answer) -> bytes:
    if answer.problem is not None:
        told: dict[str, Any] = {"error": {"code": answer.code, "message": answer.problem}}
    else:
        told = {"prediction": answer.prediction, "truncated": answer.truncated}
    return orjson.dumps({"row": answer.row, **told}, option=orjson.OPT_APPEND_NEWLINE)


def _without_values(column: ColumnProfile) -> ColumnProfile:
    """Numbers of rows and scores are no labels: a list of the different ones would only be long."""
    return column.model_copy(
        update={
            "values": None,
            "items": None if column.items is None else _without_values(column.items),
            "fields": [_without_values(field) for field in column.fields],
        }
    )
