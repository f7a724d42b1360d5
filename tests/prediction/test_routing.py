"""Several predictors: who is asked for which model, and who when that one is not there. The one that answers is a real one."""

import asyncio
import contextlib

import pytest

from app.errors import Unavailable
from app.manifest import read_manifest
from app.prediction.client import PredictorClient
from app.prediction.routing import Router
from app.prediction.wire import Prediction
from tests.predictor.conftest import until_alive
from tests.predictor.tiny_models import make_model

NOBODY = "ipc:///tmp/tunery-nobody-listens-here"


@contextlib.asynccontextmanager
async def router(*addresses: str):
    made = Router(addresses, connect=PredictorClient)
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture
def asking(shared_predictor):
    until_alive(shared_predictor.address)
    folder = shared_predictor.home / "artefacts" / "routed"
    if not folder.exists():
        make_model(folder)
    sha256 = read_manifest(folder).sha256
    return {"model_id": "tiny", "folder": str(folder), "manifest_sha256": sha256, "timeout_seconds": 60.0}


def test_a_model_is_asked_of_the_same_predictor_and_models_are_spread_over_all():
    async def orders():
        async with (
            router(f"{NOBODY}-1", f"{NOBODY}-2", f"{NOBODY}-3") as made,
            router(f"{NOBODY}-2", f"{NOBODY}-3") as fewer,
        ):
            return [(made._in_order(str(model)), fewer._in_order(str(model))) for model in range(60)]

    first, again = asyncio.run(orders()), asyncio.run(orders())
    assert first == again
    assert {order[0] for order, _ in first} == {f"{NOBODY}-{number}" for number in (1, 2, 3)}
    assert all(fewer[0] == order[0] for order, fewer in first if order[0] != f"{NOBODY}-1"), (
        "the others stay where they are"
    )


def test_another_predictor_is_asked_when_one_is_not_there(shared_predictor, asking):
    async def ask():
        # In every order, so that the one that answers is not always the first.
        async with router(*(f"{NOBODY}-{number}" for number in range(3)), shared_predictor.address) as made:
            whole = await made.predict([("the cat", None)], **asking)
            pieces = [piece async for piece in made.stream([("the cat", None)], **asking)]
            metrics = await made.measure()
            return whole, pieces, await made.ping(), metrics

    whole, pieces, pong, metrics = asyncio.run(ask())
    assert isinstance(whole, Prediction)
    assert [piece.code for piece in pieces] == ["invalid_input"], "a classifier answers in one piece alone"
    assert pong is not None
    assert f'predictor="{shared_predictor.address}"' in metrics
    assert "nobody" not in metrics


def test_without_any_predictor_it_is_said_so(asking):
    async def ask():
        async with router(f"{NOBODY}-1", f"{NOBODY}-2") as made:
            assert await made.ping() is None
            assert await made.measure() is None
            await made.predict([("the cat", None)], **asking)

    with pytest.raises(Unavailable) as caught:
        asyncio.run(ask())
    assert caught.value.code == "predictor_unavailable"
