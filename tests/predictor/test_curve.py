"""A predictor on an address: who has the key is answered, everybody else hears nothing, and nobody on the way reads along."""

import asyncio
import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
import zmq

from app.config import Settings
from app.prediction.client import PredictorClient
from app.prediction.curve import curve_keys
from app.prediction.wire import Ping, Prediction, encode
from tests.predictor.conftest import connected
from tests.predictor.tiny_models import running_predictor

TEXT = "happy " * 8
KEY = "k" * 32


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.fixture(scope="module")
def listening(home, tmp_path_factory):
    """The port of a predictor whose key lies in the home."""
    port = free_port()
    with running_predictor(home, tmp_path_factory.mktemp("unused") / "p.sock", "--bind", f"tcp://127.0.0.1:{port}"):
        talk(port, settings(home), connected)
        yield port


def settings(home, **more):
    return Settings(home=home, **more)


def talk(port, known, story, *, keys=None):
    """Run ``story`` with a client that knows what ``known`` tells."""
    address = f"tcp://127.0.0.1:{port}"

    async def run():
        client = PredictorClient(address, keys=keys or curve_keys(known, address=address))
        try:
            return await story(client)
        finally:
            await client.close()

    return asyncio.run(asyncio.wait_for(run(), timeout=60))


@contextmanager
def listened_to(port: int) -> Iterator[tuple[int, bytearray]]:
    """A port that leads there, and all that passes through, either way."""
    heard = bytearray()

    def pass_on(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while block := source.recv(65536):
                heard.extend(block)
                target.sendall(block)

    def serve() -> None:
        with suppress(OSError):
            inner, _ = server.accept()
            outer = socket.create_connection(("127.0.0.1", port))
            for ends in ((inner, outer), (outer, inner)):
                threading.Thread(target=pass_on, args=ends, daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1], heard


def test_who_has_the_key_is_answered_and_nobody_reads_along(home, listening, pair_model):
    async def story(client):
        await connected(client)
        return await client.predict([(TEXT, None)], **pair_model.question())

    with listened_to(listening) as (port, heard):
        answer = talk(port, settings(home), story)
    assert isinstance(answer, Prediction)
    assert len(heard) > 500
    assert TEXT.encode() not in heard
    assert pair_model.id.encode() not in heard
    assert not any(label.encode() in heard for label, _ in answer.predictions[0])


def test_the_key_is_a_file_for_this_user_alone(home, listening):
    assert stat.S_IMODE((home / "predictor.key").stat().st_mode) == 0o600


def test_who_has_another_key_hears_nothing(home, listening):
    assert talk(listening, settings(home, predictor_key=KEY), PredictorClient.ping) is None
    assert talk(listening, settings(home), PredictorClient.ping) is not None


def test_who_knows_the_predictors_key_alone_hears_nothing(home, listening):
    """Its public half is no secret: what lets in is the key of the API."""
    own = curve_keys(settings(home), address="tcp://")
    foreign = curve_keys(settings(home, predictor_key=KEY), address="tcp://")
    stranger = type(own)(predictor=own.predictor, api=foreign.api)
    assert talk(listening, settings(home), PredictorClient.ping, keys=stranger) is None


@pytest.mark.parametrize("mechanism", ["none", "plain"])
def test_who_says_nothing_of_itself_hears_nothing(listening, mechanism):
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.setsockopt(zmq.LINGER, 0)
        if mechanism == "plain":
            dealer.setsockopt(zmq.PLAIN_USERNAME, b"admin")
            dealer.setsockopt(zmq.PLAIN_PASSWORD, b"admin")
        dealer.connect(f"tcp://127.0.0.1:{listening}")
        dealer.send(encode(Ping(request_id=1)))
        assert dealer.poll(1500) == 0


def test_the_key_can_be_a_setting_and_needs_no_file(tmp_path):
    keys = curve_keys(settings(tmp_path, predictor_key=KEY), address="tcp://10.0.0.1:1")
    assert keys == curve_keys(settings(tmp_path / "elsewhere", predictor_key=KEY), address="tcp://10.0.0.1:1")
    assert KEY not in repr(settings(tmp_path, predictor_key=KEY))
    assert list(tmp_path.iterdir()) == []


def test_a_local_socket_needs_no_key(tmp_path):
    assert curve_keys(settings(tmp_path), address=f"ipc://{tmp_path}/p.sock") is None
    assert list(tmp_path.iterdir()) == []
