"""``GET /metrics`` of a running server, read as Prometheus reads it."""

import time

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.contract.conftest import KEY

pytestmark = pytest.mark.xdist_group("contract")


def metrics(endpoints, **options):
    answer = httpx2.get(f"{endpoints.base}/metrics", **options)
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = list(text_string_to_metric_families(answer.raise_for_status().text))
    assert len({family.name for family in families}) == len(families)
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value for family in families for sample in family.samples
    }


def change(before, after, name, **labels):
    key = (name, *sorted(labels.items()))
    return after.get(key, 0) - before.get(key, 0)


def test_what_is_asked_of_models_is_counted_where_it_is_done(endpoints):
    httpx2.post(endpoints.url("pairs"), json={"inputs": "a"}, timeout=60)  # the model is loaded now
    before = metrics(endpoints)
    started = time.monotonic()
    for _ in range(3):
        answer = httpx2.post(endpoints.url("pairs"), json={"inputs": ["the cat", "a dog ran"]}, timeout=60)
    seconds = time.monotonic() - started
    written = httpx2.post(
        endpoints.url("writer"), json={"inputs": "a", "parameters": {"max_new_tokens": 5}}, timeout=60
    )
    refused = httpx2.post(endpoints.url("pairs"), json={"inputs": "a", "parameters": {"top_k": 0}}, timeout=60)
    late = httpx2.post(endpoints.url("writer"), json={"inputs": "x" * 5000}, timeout=60)
    assert [a.status_code for a in (answer, written, refused, late)] == [200, 200, 422, 422]
    after = metrics(endpoints)
    route = {"method": "POST", "route": "/models/{model_id}"}
    assert change(before, after, "tunery_http_requests_total", **route, status="200") == 4
    assert change(before, after, "tunery_http_requests_total", **route, status="422") == 2
    assert change(before, after, "tunery_http_request_seconds_count", **route) == 6
    assert change(before, after, "tunery_http_request_seconds_sum", **route) > 0
    tokens = int(answer.headers["x-compute-tokens"])
    assert change(before, after, "tunery_predictor_batch_texts_count") == 3
    assert change(before, after, "tunery_predictor_batch_texts_sum") == 6
    assert change(before, after, "tunery_predictor_batch_tokens_sum") == 3 * tokens
    assert change(before, after, "tunery_predictor_tokens_total") == 3 * tokens + 6
    assert change(before, after, "tunery_predictor_generated_tokens_total") == 5
    for stage in ("queue", "tokenization", "inference"):
        assert change(before, after, "tunery_predictor_request_seconds_count", stage=stage) == 4
    assert change(before, after, "tunery_predictor_failures_total", code="invalid_input") == 1
    assert seconds < 60
    assert after["tunery_predictor_up",] == 1
    assert after["tunery_predictor_loaded_models",] >= 2
    assert after["tunery_predictor_loaded_bytes",] > 10_000
    assert after["tunery_predictor_load_seconds_count",] >= after["tunery_predictor_loaded_models",]
    assert after["tunery_predictor_waiting_texts",] == after["tunery_predictor_generating_texts",] == 0


def test_a_reader_who_leaves_a_stream_stops_the_model(endpoints):
    body = {"inputs": "a", "parameters": {"max_new_tokens": 4000}, "stream": True}
    before = metrics(endpoints)
    with httpx2.stream("POST", endpoints.url("writer"), json=body, timeout=60) as response:
        lines = response.iter_lines()
        next(lines)
        assert metrics(endpoints)["tunery_predictor_generating_texts",] == 1
    while (after := metrics(endpoints))["tunery_predictor_generating_texts",]:
        time.sleep(0.01)
    assert change(before, after, "tunery_predictor_request_seconds_count", stage="inference") == 0


def test_a_key_is_asked_for(keyed):
    assert httpx2.get(f"{keyed.base}/metrics").status_code == 401
    counted = metrics(keyed, headers={"authorization": f"Bearer {KEY}"})
    unmatched = ("tunery_http_requests_total", ("method", "GET"), ("route", "unmatched"), ("status", "401"))
    assert counted[unmatched] >= 1
