import shutil
import tempfile
from pathlib import Path

import httpx2
import pytest

from app.config import get_settings
from tests.conftest import reset_process_state
from tests.contract.endpoints import Endpoints, publish_all, running_api
from tests.predictor.conftest import until_alive
from tests.predictor.tiny_models import running_predictor

KEY = "sk-contract"


@pytest.fixture(scope="package")
def stack(tmp_path_factory, migrated_sqlite):
    """A predictor, an API process without a key, and a model of every task. Gives the home beside them."""
    home = tmp_path_factory.mktemp("contract")
    shutil.copy(migrated_sqlite, home / "tunery.db")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("TUNERY_DATABASE_URL", "TUNERY_REDIS_URL", "TUNERY_PREDICTOR_URL", "TUNERY_FIRST_API_KEY"):
            patch.delenv(name, raising=False)
        patch.setenv("TUNERY_HOME", str(home))
        reset_process_state()
        models = publish_all(get_settings().artefacts_dir)
        reset_process_state()
    reset_process_state()
    with (
        tempfile.TemporaryDirectory(prefix="tun") as folder,
        running_predictor(home, Path(folder) / "p.sock") as predictor,
        running_api(home, predictor.address) as url,
    ):
        until_alive(predictor.address)
        yield home, Endpoints(base=url, address=predictor.address, models=models)


@pytest.fixture(scope="package")
def endpoints(stack) -> Endpoints:
    return stack[1]


@pytest.fixture(scope="package")
def keyed(stack):
    """The same models behind a server that asks for a key, and is impatient."""
    home, endpoints = stack
    for name in ("pairs", "writer"):  # the first one also waits for torch
        httpx2.post(endpoints.url(name), json={"inputs": "a"}, timeout=60).raise_for_status()
    settings = {"TUNERY_FIRST_API_KEY": KEY, "TUNERY_PREDICT_TIMEOUT_SECONDS": "1"}
    with running_api(home, endpoints.address, **settings) as url:
        yield Endpoints(base=url, address=endpoints.address, models=endpoints.models)
