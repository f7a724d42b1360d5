"""Our tallies beside the library's own histograms, and what the routes of a request are called."""

import random

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from app.api.request_metrics import RequestMetricsMiddleware
from app.main import create_app
from app.metrics.requests import RequestCounts
from app.metrics.tally import SECONDS, Tally, exposition, histogram


def samples(text):
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def requests(client):
    """By method, route and status."""
    found = samples(client.get("/metrics").text)
    return {
        tuple(value for _, value in labels): number
        for (name, *labels), number in found.items()
        if name == "tunery_http_requests_total"
    }


def test_a_tally_says_what_the_librarys_histogram_says():
    registry = CollectorRegistry()
    reference = Histogram("seconds", "About", ("stage",), buckets=SECONDS, registry=registry)
    tally = Tally(SECONDS)
    chooser = random.Random(0)
    for value in [*SECONDS, 0.0, 1e9, *(chooser.expovariate(10) for _ in range(2000))]:
        reference.labels("queue").observe(value)
        tally.add(value)
    ours = exposition([histogram("seconds", "About", [(("queue",), tally)], labels=("stage",))])
    assert samples(ours) == pytest.approx(samples(generate_latest(registry).decode()))


def test_requests_are_counted_as_the_librarys_counter_would():
    registry = CollectorRegistry()
    reference = Counter(
        "tunery_http_requests", "HTTP requests answered", ("method", "route", "status"), registry=registry
    )
    counts = RequestCounts()
    for method, route, status in [("GET", "/jobs", 200)] * 3 + [("GET", "/jobs", 404), ("POST", 'a"\\b\n', 200)]:
        reference.labels(method, route, str(status)).inc()
        counts.add(method, route, status=status, seconds=0.0)
    ours = samples(exposition(family for family in counts.families() if family.type == "counter"))
    assert ours == samples(generate_latest(registry).decode())


def test_a_request_is_counted_by_the_template_of_its_route_and_never_by_its_path(client):
    for number in range(3):
        client.get(f"/jobs/ftjob-{number}")
        client.get(f"/models/a{number}/b")
        client.get(f"/nowhere/{number}")
    client.get("/jobs", headers={"host": "evil.example"})
    client.request("INVENTED", "/jobs")
    assert client.get("/jobs").status_code == 200
    assert requests(client) == {
        ("GET", "/jobs/{job_id}", "404"): 3,
        ("GET", "/models/{model_id}", "404"): 3,
        ("GET", "unmatched", "404"): 3,
        ("GET", "unmatched", "403"): 1,
        ("other", "/jobs", "405"): 1,
        ("GET", "/jobs", "200"): 1,
    }
    assert requests(client)["GET", "/metrics", "200"] == 1


def test_without_a_predictor_it_is_said_to_be_down(client):
    found = samples(client.get("/metrics").text)
    assert found["tunery_predictor_up",] == 0
    assert not any(name.startswith("tunery_predictor_tokens") for name, *_ in found)


def test_an_error_that_nobody_expected_is_counted_too(sqlite_home):
    app = create_app()

    @app.get("/broken")
    async def broken():
        raise ZeroDivisionError

    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        assert client.get("/broken").status_code == 500
        assert requests(client) == {("GET", "/broken", "500"): 1}


def test_time_is_taken_until_an_answer_begins():
    counts = RequestCounts()
    sent = []

    async def slow_stream(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        sent.append(samples(exposition(counts.families())))
        await send({"type": "http.response.body", "body": b""})

    TestClient(RequestMetricsMiddleware(slow_stream, counts=counts)).get("/")
    assert sent[0]["tunery_http_request_seconds_count", ("method", "GET"), ("route", "unmatched")] == 1


def test_operations_have_names_of_their_own(client):
    paths = client.get("/openapi.json").json()["paths"]
    names = [operation["operationId"] for methods in paths.values() for operation in methods.values()]
    assert len(set(names)) == len(names) > 30
