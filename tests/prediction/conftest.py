"""The application with a real predictor, and finished models in its database."""

import tempfile
from pathlib import Path

import pytest

from app.clock import utc_now
from app.config import get_settings
from app.db import transaction
from app.job.states import JobStatus
from app.model.models import Model
from tests.conftest import reset_process_state
from tests.job.conftest import insert_job
from tests.predictor.conftest import until_alive
from tests.predictor.tiny_models import make_model, running_predictor


@pytest.fixture(scope="package")
def shared_predictor(tmp_path_factory):
    """One predictor for all tests that leave it alive: it takes seconds to import torch."""
    home = tmp_path_factory.mktemp("shared")
    with (
        tempfile.TemporaryDirectory(prefix="tun") as folder,
        running_predictor(home, Path(folder) / "p.sock") as process,
    ):
        yield process


@pytest.fixture
def predictor(sqlite_home, shared_predictor, monkeypatch):
    """The application asks the shared predictor, which serves this test's artefacts."""
    everybodys = shared_predictor.home / "artefacts"
    everybodys.mkdir(exist_ok=True)
    artefacts = Path(tempfile.mkdtemp(dir=everybodys))
    (sqlite_home / "artefacts").symlink_to(artefacts)
    monkeypatch.setenv("TUNERY_PREDICTOR_URL", shared_predictor.address)
    reset_process_state()
    until_alive(shared_predictor.address)


@pytest.fixture
def own_predictor(sqlite_home):
    """A predictor that the test may kill."""
    settings = get_settings()
    with running_predictor(sqlite_home, settings.run_dir / "predictor.sock") as process:
        until_alive(settings.predictor)
        yield process


@pytest.fixture
def narrow_predictor(sqlite_home):
    """A predictor in which one text may wait."""
    settings = get_settings()
    with running_predictor(sqlite_home, settings.run_dir / "predictor.sock", "--queue-size", "1"):
        until_alive(settings.predictor)
        yield


@pytest.fixture
def publish(sqlite_home):
    """Stores a succeeded job and the model it made; gives both ids and the model's folder."""

    def make(name="tiny", *, kind="fine-tuned", best_step=80, build=make_model, **options):
        path = f"models/{name}"
        tiny = build(get_settings().artefacts_dir / path, **options)
        job_id = insert_job(status=JobStatus.SUCCEEDED, best_metrics={"step": best_step, "eval/accuracy": 1.0})
        fine_tuned = kind == "fine-tuned"
        with transaction() as session:
            model = Model(
                id=f"ft:acme/base:org:{name}:{job_id.removeprefix('ftjob-')}" if fine_tuned else name,
                kind=kind,
                base_model="acme/base" if fine_tuned else None,
                job_id=job_id if fine_tuned else None,
                task="text-classification" if fine_tuned else None,
                path=path,
                manifest_sha256=tiny.manifest_sha256,
                weights_sha256="0" * 64,
                size_bytes=1,
                config={},
                metrics={},
                created_at=utc_now(),
            )
            session.add(model)
            return job_id, model.id, tiny.folder

    return make
