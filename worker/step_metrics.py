"""What a job measured at each step, as a file of CSV that is published with its model.

Its bytes come before its row, and may be written again: what an attempt leaves that never came to commit has no row, and is
collected with other leftovers.
"""

import csv
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from sqlalchemy.orm import Session

from app import ids, storage
from app.config import get_settings
from app.dataset.readers import profile_file
from app.db import reading
from app.file.results import Result
from app.file.service import FOLDER
from app.job import records
from app.manifest import committed_folder

STORED_AS: Final = "data.csv"
FILENAME: Final = "step_metrics.csv"


def write(job_id: str) -> tuple[Result, Path]:
    """The file, sealed where files lie, and that place. A row for each step at which anything was measured; cells may be empty."""
    file_id = ids.new_id(ids.FILE)
    folder = get_settings().artefacts_dir / FOLDER / file_id
    with committed_folder(folder) as temporary, reading() as session:
        path = temporary / STORED_AS
        num_rows = _write_csv(session, job_id, path)
        profile = _profile(path) if num_rows else {}
    storage.publish(folder)
    result = Result(
        file_id=file_id,
        filename=FILENAME,
        stored_as=STORED_AS,
        purpose="fine-tune-results",
        format="csv",
        profile=profile,
    )
    return result, folder


def _write_csv(session: Session, job_id: str, path: Path) -> int:
    names = records.metric_names(session, job_id)
    num_rows = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["step", "epoch", *names], lineterminator="\n")
        writer.writeheader()
        for row in _rows(session, job_id):
            writer.writerow(row)
            num_rows += 1
    return num_rows


def _rows(session: Session, job_id: str) -> Iterator[dict[str, Any]]:
    for step, points in groupby(records.metrics_by_step(session, job_id), key=lambda point: point.step):
        measured = list(points)
        yield {"step": step, "epoch": measured[0].epoch} | {point.name: point.value for point in measured}


def _profile(path: Path) -> dict[str, Any]:
    """Without the different values of a column, which are numbers and no labels."""
    profile = profile_file(path, format="csv")
    columns = [column.model_copy(update={"values": None}) for column in profile.columns]
    return profile.model_copy(update={"columns": columns}).model_dump(mode="json")
