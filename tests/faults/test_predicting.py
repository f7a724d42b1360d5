"""Rows A1, A2 and K5, and what serving promises: one load for all who ask, many models in little memory, a predictor that is killed."""

import os
import re
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from tests.faults.conftest import IMPATIENT, LONG, TRAINING, running
from tests.faults.test_processes import is_alive

BRIEF = TRAINING | {"max_steps": 4, "num_train_epochs": 1, "eval_strategy": "no", "save_strategy": "no"}
BACK_SECONDS = 10


def numbers(service) -> dict[str, float]:
    """What ``/metrics`` says, by name with labels."""
    text = service.http.get("/metrics").raise_for_status().text
    return {name: float(value) for name, value in re.findall(r"^(\S+) (\S+)$", text, flags=re.MULTILINE)}


def ask(service, model: str, inputs="a fine day") -> httpx2.Response:
    return service.http.post("/predict", json={"model": model, "inputs": inputs}, timeout=120)


def scores(answer: httpx2.Response) -> list:
    return answer.raise_for_status().json()["predictions"]


@pytest.mark.faults
def test_whom_a_job_without_a_model_is_asked_for_and_odd_inputs(tmp_path, encoder, matrix):
    with running(tmp_path / "home", encoder, **IMPATIENT) as service:
        done = service.wait(service.train(training=BRIEF))["id"]
        failed = service.wait(service.train(training=TRAINING | {"learning_rate": 1e6, "max_grad_norm": 0}))["id"]
        busy, waiting = service.train(training=LONG | {"num_train_epochs": 4000}), service.train()
        service.wait_for_step(busy, 1)
        found = [ask(service, who).status_code for who in (waiting, busy, failed, "ftjob-unknown")]
        assert found == [409, 409, 409, 404]
        service.http.post(f"/jobs/{busy}/cancel")
        odd = {
            "[]": [],
            "65 texts": ["a"] * 65,
            "1 MB and a byte": "a" * (2**20 + 1),
            "a number": 7,
            "null": None,
            "1 MB": "a " * 2**19,
            "emoji": "👩‍🚀 été",
        }
        statuses = {name: ask(service, done, inputs).status_code for name, inputs in odd.items()}
    assert list(statuses.values()) == [422, 422, 413, 422, 422, 200, 200], statuses
    matrix(
        "A1",
        "predict on a queued, running, failed, unknown job",
        promise="409, 409, 409, 404",
        measured=", ".join(map(str, found)),
    )
    matrix(
        "A2", f"predict with {', '.join(odd)}", promise="422, 413 or 200",
        measured=", ".join(map(str, statuses.values())),
    )  # fmt: skip


@pytest.mark.faults
def test_200_requests_during_the_first_load_are_one_load(tmp_path, encoder, matrix):
    with running(tmp_path / "home", encoder, **IMPATIENT) as service:
        model = service.wait(service.train(training=BRIEF))["id"]
        before = numbers(service)["tunery_predictor_load_seconds_count"]
        with ThreadPoolExecutor(200) as pool:
            answers = [*pool.map(lambda number: ask(service, model, f"a fine day {number % 3}"), range(200))]
        loads = numbers(service)["tunery_predictor_load_seconds_count"] - before
    assert [answer.status_code for answer in answers] == [200] * 200
    assert len({str(scores(answer)) for answer in answers}) <= 3, "the same text has the same answer, to the last digit"
    assert loads == 1
    matrix("A2", "200 at once while the model is loaded", promise="200, one load", measured="200 answers, one load")


@pytest.mark.faults
def test_twenty_models_share_the_memory_of_five(tmp_path, encoder, matrix):
    with running(tmp_path / "home", encoder, **IMPATIENT) as service:
        models = [service.wait(service.train(seed=seed, training=BRIEF))["id"] for seed in range(20)]
        expected = {model: scores(ask(service, model)) for model in models}
        each = numbers(service)["tunery_predictor_loaded_bytes"] / 20
    with running(
        tmp_path / "home", encoder, TUNERY_PREDICT_MEMORY_BYTES=str(round(5.5 * each)), **IMPATIENT
    ) as service:
        wrong, most = [], 0.0
        for turn in range(3):
            for model in models[::-1] if turn % 2 else models:
                if scores(ask(service, model)) != expected[model]:
                    wrong.append(model)
                most = max(most, numbers(service)["tunery_predictor_loaded_bytes"])
        with ThreadPoolExecutor(20) as pool:
            together = [*pool.map(lambda model: scores(ask(service, model)) == expected[model], models)]
        unloads = numbers(service)['tunery_predictor_unloads_total{reason="memory"}']
    assert (wrong, together) == ([], [True] * 20)
    assert most <= 5.5 * each
    assert unloads >= 50
    matrix(
        "A2", "20 models, memory for 5, in turn and at once", promise="right answers, within the budget",
        measured=f"80 right answers, {unloads:.0f} unloaded, at most {most / each:.1f} models' memory",
    )  # fmt: skip


@pytest.mark.faults
def test_a_predictor_killed_under_load_is_back_soon_and_the_api_stays(tmp_path, encoder, matrix):
    with running(tmp_path / "home", encoder, **IMPATIENT) as service:
        model = service.wait(service.train(training=BRIEF))["id"]
        expected = scores(ask(service, model))
        api, predictor = service.up.pid_of("app.cli serve"), service.up.pid_of("worker.predictor")
        seen, ended = [], threading.Event()

        def client() -> None:
            while not ended.is_set():
                answer = ask(service, model)
                seen.append((time.monotonic(), answer.status_code, answer))

        clients = [threading.Thread(target=client) for _ in range(8)]
        for thread in clients:
            thread.start()
        time.sleep(1)
        os.kill(predictor, signal.SIGKILL)
        killed_at = time.monotonic()
        time.sleep(BACK_SECONDS + 2)
        ended.set()
        for thread in clients:
            thread.join()
        assert is_alive(api)
    refused = [(at, answer) for at, status, answer in seen if status != 200]
    assert {answer.status_code for _, answer in refused} == {503}
    assert all(int(answer.headers["retry-after"]) >= 1 for _, answer in refused)
    back = max((at for at, _ in refused), default=killed_at) - killed_at
    assert back <= BACK_SECONDS
    assert any(at > killed_at + back and status == 200 for at, status, _ in seen)
    assert all(scores(answer) == expected for _, status, answer in seen if status == 200)
    matrix(
        "A2", "kill -9 of the predictor under load", promise="503 with Retry-After for ≤ 10 s, the api stays",
        measured=f"503 for {back:.1f} s, then right answers",
    )  # fmt: skip
