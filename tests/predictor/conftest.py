import asyncio
import tempfile
from pathlib import Path

import pytest

from app.prediction.client import PredictorClient
from tests.predictor.tiny_models import make_model, running_predictor


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("predictor-home")


@pytest.fixture(scope="session")
def new_model(home):
    """Makes a servable model below the home's folder of artefacts."""

    def make(name, **options):
        return make_model(home / "artefacts" / "models" / name, **options)

    return make


@pytest.fixture(scope="session")
def pair_model(new_model):
    return new_model("pairs")


@pytest.fixture
def socket_path():
    """Short, as socket paths must be."""
    with tempfile.TemporaryDirectory(prefix="tun") as folder:
        yield Path(folder) / "run" / "p.sock"


@pytest.fixture(scope="package")
def predictor(home):
    """One predictor for all tests that leave it alive."""
    with (
        tempfile.TemporaryDirectory(prefix="tun") as folder,
        running_predictor(home, Path(folder) / "p.sock") as process,
    ):
        until_alive(process.address)
        yield process


def until_alive(address):
    async def wait():
        client = PredictorClient(address)
        await connected(client)
        await client.close()

    asyncio.run(wait())


async def connected(client):
    """Wait until the predictor listens: it answers pings before it has imported torch."""
    async with asyncio.timeout(30):
        while await client.ping() is None:  # noqa: ASYNC110  another process: there is no event to wait for
            await asyncio.sleep(0.01)


@pytest.fixture
def ask(predictor):
    """Runs a coroutine function that gets a connected client."""
    return lambda story: talk(predictor.address, story)


@pytest.fixture(scope="session")
def talk_to():
    return talk


def talk(address, story):
    async def run():
        client = PredictorClient(address)
        try:
            return await story(client)
        finally:
            await client.close()

    return asyncio.run(asyncio.wait_for(run(), timeout=120))
