"""``POST /predict`` with ``"stream": true``: server-sent events from a real server, by readers that stay, go, or are slow."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
import uvicorn

from app.prediction.client import PredictorClient
from tests.predictor.conftest import talk
from tests.predictor.tiny_writers import make_writer

LONG = 4000
ROOT = Path(__file__).parents[2]


@pytest.fixture
def url(sqlite_home):
    """A server of its own: the test client in this process reads an answer only as a whole."""
    from app.main import create_app

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(create_app(), log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@pytest.fixture
def writer(publish):
    """The id of a job whose model writes without end."""
    job_id, _, _ = publish("writer", build=make_writer, ends=False)
    return job_id


def body(model, text="Grüße", **parameters):
    return {"model": model, "inputs": text, "parameters": parameters, "stream": True}


@contextmanager
def streaming(url, content):
    with httpx2.Client(base_url=url, timeout=60) as http, http.stream("POST", "/predict", json=content) as response:
        assert response.status_code == 200, response.read()
        yield response, ((e.event, json.loads(e.data)) for e in httpx2.EventSource(response, max_event_size=None))


def num_generating(address):
    return talk(address, _count)


async def _count(client: PredictorClient):
    while (pong := await client.ping()) is None:
        pass
    return pong.num_generating


def until_it_rests(address):
    """Seconds until the predictor generates nothing."""
    started = time.monotonic()
    while num_generating(address):
        assert time.monotonic() - started < 30
    return time.monotonic() - started


def test_a_text_comes_in_pieces_and_then_as_a_whole(predictor, url, writer):
    with streaming(url, body(writer, max_new_tokens=50, stop=["\ufffd\ufffd\ufffd\ufffd"])) as (response, events):
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-store"
        *pieces, (kind, last) = events
    asked = {**body(writer, max_new_tokens=50, stop=["\ufffd\ufffd\ufffd\ufffd"]), "stream": False}
    whole = httpx2.post(f"{url}/predict", json=asked, timeout=60)
    assert whole.headers["x-inference-time"]
    assert kind == "prediction"
    assert {name for name, _ in pieces} == {"piece"}
    for name in ("model", "predictions", "usage"):
        assert last[name] == whole.json()[name]
    assert last["timings"]["inference_ms"] > 0
    ((found,),) = last["predictions"]
    assert "".join(piece["text"] for _, piece in pieces) == found["generated_text"]
    tokens = [token for _, piece in pieces for token in piece["tokens"]]
    assert "".join(token["text"] for token in tokens) == found["generated_text"]
    assert len(tokens) == found["num_tokens"]
    assert all(token["logprob"] <= 0 for token in tokens)


@pytest.mark.parametrize(
    ("changes", "status", "code", "param"),
    [
        ({"inputs": ["a", "b"]}, 422, "too_many_inputs", "inputs"),
        ({"model": "ftjob-" + "0" * 32}, 404, "model_not_found", "model"),
        ({"parameters": {"threshold": 0.5}}, 422, "invalid_input", "parameters.threshold"),
        ({"inputs": "a" * LONG * 2}, 422, "invalid_input", "inputs[0]"),
        ({"stream": "yes"}, 422, "invalid_value", "stream"),
    ],
)
def test_what_is_wrong_before_the_first_piece_is_an_ordinary_error(
    client, predictor, writer, changes, status, code, param
):
    answer = client.post("/predict", json=body(writer) | changes)
    assert (answer.status_code, answer.json()["error"]["code"], answer.json()["error"]["param"]) == (
        status,
        code,
        param,
    )


def test_a_model_of_labels_has_no_stream(client, predictor, publish):
    job_id, _, _ = publish()
    answer = client.post("/predict", json=body(job_id))
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, "stream")


@pytest.mark.parametrize("stream", [True, False])
def test_the_model_stops_writing_for_who_goes_away(predictor, shared_predictor, url, writer, stream):
    asked = body(writer, max_new_tokens=LONG) | {"stream": stream}
    if stream:
        with streaming(url, asked) as (_, events):
            next(events)
            assert num_generating(shared_predictor.address) == 1
    else:
        with pytest.raises(httpx2.ReadTimeout):
            httpx2.post(f"{url}/predict", json=asked, timeout=httpx2.Timeout(60, read=2))
    assert until_it_rests(shared_predictor.address) < 2


def test_the_model_stops_writing_for_who_goes_away_at_once(predictor, shared_predictor, url, writer):
    asked = body(writer, max_new_tokens=LONG) | {"stream": False}
    with pytest.raises(httpx2.ReadTimeout):  # before anybody looks whether the caller is still there
        httpx2.post(f"{url}/predict", json=asked, timeout=httpx2.Timeout(60, read=0.05))
    deadline = time.monotonic() + 30
    while not num_generating(shared_predictor.address):
        assert time.monotonic() < deadline, "it has begun to write"
    assert until_it_rests(shared_predictor.address) < 2


def test_a_reader_that_does_not_read_gets_it_all_later(predictor, shared_predictor, url, writer):
    with streaming(url, body(writer, max_new_tokens=1500)) as (_, events):
        _, first = next(events)
        until_it_rests(shared_predictor.address)
        *pieces, (kind, last) = events
    assert kind == "prediction"
    text = "".join(piece["text"] for piece in [first, *(piece for _, piece in pieces)])
    assert text == last["predictions"][0][0]["generated_text"]


def test_the_command_line_prints_it(predictor, url, writer):
    command = [
        sys.executable,
        "-m",
        "app.cli",
        "predict",
        "--model",
        writer,
        "--stream",
        "one",
        "--set",
        "max_new_tokens=20",
    ]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TUNERY_")}

    def run(*more):
        environment = clean | {"TUNERY_URL": url}
        return subprocess.run([*command, *more], env=environment, cwd=ROOT, capture_output=True, text=True, check=False)

    whole = httpx2.post(f"{url}/predict", json=body(writer, "one", max_new_tokens=20) | {"stream": False}, timeout=60)
    ((found,),) = whole.json()["predictions"]
    assert run().stdout == found["generated_text"] + "\n"
    assert json.loads(run("--json").stdout)["predictions"] == [[found]]
    refused = run("--set", "threshold=0.5")
    assert refused.returncode == 1
    assert "labels" in refused.stderr


def test_a_predictor_that_dies_ends_the_stream_with_an_error(own_predictor, url, writer):
    with streaming(url, body(writer, max_new_tokens=LONG)) as (_, events):
        next(events)
        own_predictor.kill()
        killed_at = time.monotonic()
        *_, (kind, last) = events
    assert time.monotonic() - killed_at < 5
    assert (kind, last["error"]["code"], last["status"]) == ("error", "predictor_unavailable", 503)
    assert httpx2.post(f"{url}/predict", json=body(writer), timeout=10).status_code == 503
