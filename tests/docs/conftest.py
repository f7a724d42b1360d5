from collections.abc import Iterator

import pytest

from tests.hub import builders
from tests.hub.server import FakeHub
from tests.road.conftest import Service
from tests.road.tiny import build_encoder
from tests.stack.processes import Up


@pytest.fixture(scope="session")
def reader_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service as README and tutorial expect one, with tiny models under the names that they use."""
    folder = tmp_path_factory.mktemp("reader")
    encoder = build_encoder(folder / "encoder")
    with FakeHub(folder / "hub") as hub:
        hub.add_model("google-bert/bert-base-uncased", encoder)
        hub.add_dataset("nyu-mll/glue", files=builders.glue_files(), configs=builders.GLUE_CONFIGS)
        up = Up(
            folder / "home",
            HF_ENDPOINT=hub.url,
            HF_HOME=str(folder / "hf"),
            HF_HUB_DISABLE_TELEMETRY="1",
            TUNERY_HUB_TIMEOUT_SECONDS="30",
        )
        try:
            service = Service(up, up.wait_ready())
            service.register("all-MiniLM-L6-v2", encoder)
            yield str(service.http.base_url)
        finally:
            up.clean_up()
