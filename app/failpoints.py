"""Named places between two durable effects, where the tests have a process killed. Off, unless ``TUNERY_FAILPOINT`` names one.

``TUNERY_FAILPOINT=name@mark``: the first process that comes to ``name`` makes the file ``mark`` and kills itself with SIGKILL;
whoever comes there later finds the file and goes on. Nobody dies as long as the folder of ``mark`` does not exist.
Several are separated by commas.
"""

import os
import signal
from typing import Final

FAILPOINTS: Final = {
    "file.sealed": "an upload's bytes are in place, its row is not stored",
    "file.stored": "the row of an upload is committed, the answer not sent",
    "job.checked": "a job is found to be in order, nothing is stored",
    "job.inserted": "the row and its first event are written, not committed",
    "job.stored": "the job is committed, no worker woken",
    "job.woken": "a worker is woken, the answer not sent",
    "claim.written": "a worker has claimed a job, not committed",
    "claim.stored": "the claim is committed, no run directory made",
    "attempt.prepared": "the run directory is made, no trainer started",
    "attempt.started": "the trainer is started, nothing heard of it",
    "relay.written": "messages of the trainer are written, not committed",
    "relay.stored": "messages of the trainer are committed, still held as pending",
    "attempt.ended": "the trainer is gone, its end not committed",
    "publish.announced": "the job is in the phase publishing",
    "publish.placed": "the model's folder is where models live, it has no row",
    "publish.written": "the model's row and the job's success are written, not committed",
    "publish.stored": "the job has succeeded, the worker does not know yet",
    "trainer.ready": "data and model are loaded, no step done",
    "folder.begun": "a temporary folder is made, and empty",
    "checkpoint.weights": "a checkpoint's weights are written, its optimizer is not",
    "folder.filled": "all files of a folder are written, its manifest is not",
    "folder.sealed": "the manifest is written, the folder not renamed",
    "folder.renamed": "a folder is renamed, its parent not flushed",
    "checkpoint.committed": "a checkpoint is whole, the worker is not told",
    "checkpoint.told": "the worker is told of a checkpoint, old ones are not removed",
    "checkpoint.rotated": "old checkpoints are removed, the next is not begun",
    "model.built": "the finished model is sealed in the run directory, the worker is not told",
    "trainer.told": "the worker is told the result, the trainer has not ended",
}
"""What is durable at each of a job that trains, and what is not; those of uploads, claims and attempts are of all kinds of jobs."""

OF_FILES: Final = {
    "prediction.ready": "rows and model are loaded, no row asked",
    "part.committed": "the answers of a portion are whole, the worker is not told",
    "part.told": "the worker is told of a portion, the next is not begun",
    "prediction.built": "the file of answers is whole in the run directory, the worker is not told",
    "prediction.told": "the worker is told of the file, the process has not ended",
    "export.built": "the export is whole in the run directory, the worker is not told",
    "export.told": "the worker is told of the export, the process has not ended",
    "result.announced": "the job is in the phase publishing",
    "result.placed": "the file is where files live, it has no row",
    "result.written": "the file's row and the job's success are written, not committed",
    "result.stored": "the job has succeeded, the worker does not know yet",
}
"""The same of jobs whose result is a file."""

OF_STUDIES: Final = {
    "study.stored": "a study is committed, no trial begun",
    "trial.checked": "a trial's job is found to be in order, nothing is stored",
    "trial.written": "a trial and its job are written, not committed",
    "trial.stored": "a trial and its job are committed, no worker woken",
}
"""The same of a search for hyperparameters, beside what happens to its jobs."""

OF_STORES: Final = {
    "store.sent_file": "a file of a folder is in the store, its manifest is not",
    "store.published": "a folder is in the store, no row names it",
    "store.fetched_file": "a file of a folder has come from the store, the folder is not whole",
}
"""The same of a store on other machines; with the home alone none of them is reached."""

OF_DELETIONS: Final = {
    "job.deleted": "the rows of a job are gone, its folders are there",
    "study.deleted": "the rows of a study, its trials and their jobs are gone, the folders are there",
    "model.deleted": "a model's row is gone, its folder is there",
    "file.deleted": "a file's row is gone, its bytes are there",
}
"""The same of what is deleted."""

_MARKS: Final = dict(
    entry.split("@", maxsplit=1) for entry in os.environ.get("TUNERY_FAILPOINT", "").split(",") if entry
)
"""By name: the file that says who died there."""
for _name in _MARKS.keys() - (FAILPOINTS | OF_FILES | OF_STUDIES | OF_STORES | OF_DELETIONS).keys():
    raise ValueError(f"TUNERY_FAILPOINT: there is no failpoint {_name!r}")


def reach(name: str) -> None:
    """Die here if a test says so."""
    mark = _MARKS.get(name)
    if mark is None:
        return
    try:
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except (FileExistsError, FileNotFoundError):
        return
    os.kill(os.getpid(), signal.SIGKILL)
