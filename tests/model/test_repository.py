"""The same on SQLite and PostgreSQL."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from app.clock import utc_now
from app.config import get_settings
from app.db import reading, transaction
from app.errors import Conflict
from app.job.models import Job
from app.job.states import JobStatus
from app.model import repository, service
from app.model.models import Model
from tests.hub.builders import bert_folder

pytestmark = pytest.mark.usefixtures("database")

START = utc_now()


def model(name: str, *, age_seconds: int) -> Model:
    return Model(
        id=name,
        kind="registered",
        path=f"models/{name}",
        manifest_sha256="0" * 64,
        weights_sha256="0" * 64,
        size_bytes=1,
        config={},
        metrics={},
        created_at=START - timedelta(seconds=age_seconds),
    )


def job(model_id: str, *, status: JobStatus) -> Job:
    spec = {"model": model_id, "dataset": {"train": "file-1"}}
    return Job(
        id=f"ftjob-{model_id}-{status}",
        status=status,
        spec=spec,
        requested_spec=spec,
        job_metadata={},
        created_at=START,
        not_before=START,
        progress={},
        warnings=[],
        timings={},
    )


def test_pages_neither_skip_nor_repeat_models_of_the_same_instant():
    with transaction() as session:
        session.add_all([model(f"m{number}", age_seconds=number // 3) for number in range(10)])
    seen: list[str] = []
    with reading() as session:
        last = None
        while rows := repository.page(session, after=last, limit=2)[:2]:
            seen += [row.id for row in rows]
            last = rows[-1]
    assert seen == ["m2", "m1", "m0", "m5", "m4", "m3", "m8", "m7", "m6", "m9"]


def test_only_unfinished_jobs_hold_a_model():
    with transaction() as session:
        session.add_all(
            [
                job("org/held", status=JobStatus.PAUSED),
                job("org/free", status=JobStatus.SUCCEEDED),
                job("org/free", status=JobStatus.FAILED),
                job("org/free", status=JobStatus.CANCELLED),
            ]
        )
    with reading() as session:
        assert repository.unfinished_job_using(session, "org/held") == "ftjob-org/held-paused"
        assert repository.unfinished_job_using(session, "org/free") is None
        assert repository.unfinished_job_using(session, "org/hel") is None


@dataclass
class Part:
    name: str
    filename: str | None
    content: bytes

    @property
    def blocks(self):
        yield self.content


def form(folder: Path, name: str) -> list[Part]:
    files = [Part("files", path.name, path.read_bytes()) for path in folder.iterdir()]
    return [Part("name", None, name.encode()), *files]


def test_one_of_many_that_register_at_once_makes_the_model(tmp_path: Path):
    same, other = bert_folder(tmp_path / "same"), bert_folder(tmp_path / "other")
    (other / "vocab.txt").write_text("something else")

    def attempt(folder: Path) -> str:
        try:
            return "new" if service.register(form(folder, "org/bert"))[1] else "same"
        except Conflict:
            return "conflict"

    assert attempt(same) == "new"
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(attempt, [same, other] * 4)) == ["same", "conflict"] * 4
        service.delete_model("org/bert")
        again = sorted(pool.map(attempt, [same] * 8))
    assert again == ["new"] + ["same"] * 7
    assert len(list((get_settings().artefacts_dir / "models").iterdir())) == 1
