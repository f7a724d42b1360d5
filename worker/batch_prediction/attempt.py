"""One attempt of a job that predicts the rows of a file, in the order it runs."""

import time
from pathlib import Path, PurePosixPath
from typing import Final

from app import failpoints
from app.dataset.readers import read_rows
from app.errors import Unavailable
from app.manifest import sha256_of
from app.spec.messages import BegunMessage, FilesMessage, ProgressMessage
from app.spec.run import PredictionRun
from worker.batch_prediction.asking import Asker
from worker.batch_prediction.parts import Parts
from worker.batch_prediction.rows import MOST_ROWS, MOST_WRITTEN, in_portions, read_inputs
from worker.predictor.published import load_published
from worker.trainer.control import Control
from worker.trainer.group import Place
from worker.trainer.reporting import Reporter

CHECKPOINTS: Final = "checkpoints"
RESULT: Final = "result"


def run_attempt(
    run: PredictionRun,
    *,
    run_dir: Path,
    report: Reporter,
    control: Control,  # noqa: ARG001 - a stop interrupts this wherever it is: what is not in a part yet is asked again
    started_at: float,
    place: Place,  # noqa: ARG001 - it is always alone
) -> None:
    """Ask about every row that no earlier attempt has done, and join all answers. Raises ServiceError, and Stopped when told to stop."""
    path = Path(run.file.path)
    if sha256_of(path) != run.file.sha256:
        raise Unavailable(
            f"The bytes of {run.spec.file} are not those that were uploaded.",
            code="artifact_corrupt",
            hint="Upload the file again.",
        )
    model = load_published(run.model)
    parts = Parts(run_dir / CHECKPOINTS, report=report)
    parts.restore(run.checkpoints)
    report.send(_begun(parts.num_rows, run))
    failpoints.reach("prediction.ready")
    report.phase("predicting")
    ready_at = time.monotonic()
    asker = Asker(model, run.spec.parameters, goes_on=report.goes_on)
    progress = _Progress(report, done=parts.num_rows, total=run.num_rows)
    rows = read_rows(path, format=run.file.format)
    inputs = read_inputs(rows, columns=run.spec.columns, task=model.spec.task, done=parts.num_rows)
    for portion in in_portions(inputs, most_rows=MOST_WRITTEN if model.generates else MOST_ROWS):
        parts.write(asker.ask(portion, on_done=progress.add))
    done_at = time.monotonic()
    name = f"{PurePosixPath(run.filename).stem}-predictions.jsonl"
    result = parts.join(run_dir / RESULT, filename=name)
    failpoints.reach("prediction.built")
    counts = parts.counts()
    report.send(
        FilesMessage(
            files=[result],
            num_done=parts.num_rows,
            report={"num_rows": parts.num_rows, "num_predicted": parts.num_rows - counts["num_errors"], **counts},
            timings={
                "startup_seconds": round(ready_at - started_at, 3),
                "predicting_seconds": round(done_at - ready_at, 3),
                "joining_seconds": round(time.monotonic() - done_at, 3),
            },
        )
    )
    failpoints.reach("prediction.told")


def _begun(done: int, run: PredictionRun) -> BegunMessage:
    message = f"Asking {run.model.id} about {run.num_rows:,} rows."
    if done:
        message = f"Prediction goes on behind row {done:,} of {run.num_rows:,}."
    return BegunMessage(resumed_from_step=done, max_steps=run.num_rows, message=message)


class _Progress:
    """Rows that are done, and how fast."""

    def __init__(self, report: Reporter, *, done: int, total: int) -> None:
        self._report, self._done, self._total = report, done, total
        self._before, self._began_at = done, time.monotonic()

    def add(self, num_rows: int) -> None:
        self._done += num_rows
        seconds = time.monotonic() - self._began_at
        rate = (self._done - self._before) / seconds if seconds > 0 else 0.0
        self._report.progress(
            ProgressMessage(
                step=self._done,
                max_steps=self._total,
                epoch=0.0,
                samples_per_second=round(rate, 3),
                eta_seconds=round((self._total - self._done) / rate, 3) if rate else None,
            )
        )
