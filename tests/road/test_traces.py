"""One trace from a request to the trainer's phases, of real processes, received by a server of OpenTelemetry's protocol."""

import pytest

from tests.road.spans import attributes
from tests.road.tiny import reviews

pytestmark = pytest.mark.xdist_group("reader")

MODEL = "all-MiniLM-L6-v2"
SECRET_TEXT = "kumquat"


def test_a_trace_leads_from_the_request_through_the_attempt_to_the_trainers_phases(reader):
    traced, receiver = reader.service, reader.spans
    rows = [row | {"text": f"{SECRET_TEXT} {row['text']}"} for row in reviews(40, seed=1)]
    trace_id, parent_id = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    spec = {
        "model": MODEL, "dataset": {"train": traced.upload(rows)}, "training": {"max_steps": 2},
        "metadata": {"note": SECRET_TEXT},
    }  # fmt: skip
    headers = {"traceparent": f"00-{trace_id}-{parent_id}-01", "x-request-id": "req-of-the-test"}
    job = traced.http.post("/jobs", json=spec, headers=headers).raise_for_status().json()
    done = traced.wait(job["id"])
    assert done["status"] == "succeeded", done["error"]
    question = {"model": done["model"]["id"], "inputs": f"A {SECRET_TEXT} that nobody knows."}
    traced.http.post("/predict", json=question, headers={"x-request-id": "req-predict"}).raise_for_status()

    service, request = receiver.of("POST /jobs", trace_id=trace_id)
    _, submit = receiver.of("job.submit", trace_id=trace_id)
    worker, attempt = receiver.of("job.attempt", trace_id=trace_id)
    _, phase = receiver.of("trainer.training", trace_id=trace_id)
    assert (service, worker) == ("tunery-api", "tunery-worker")
    assert request.parent_span_id.hex() == parent_id
    assert submit.parent_span_id == request.span_id
    assert attempt.parent_span_id == submit.span_id
    assert phase.parent_span_id == attempt.span_id
    assert attempt.start_time_unix_nano <= phase.start_time_unix_nano < phase.end_time_unix_nano
    assert phase.end_time_unix_nano <= attempt.end_time_unix_nano
    told = attributes(request)
    assert (told["http.route"], told["http.response.status_code"]) == ("/jobs", 201)
    assert told["tunery.request_id"] == "req-of-the-test"
    assert attributes(submit)["tunery.job_id"] == attributes(attempt)["tunery.job_id"] == job["id"]
    assert attributes(attempt)["tunery.exit_code"] == 0

    traced.http.get("/jobs/ftjob-unknown", headers={"x-request-id": "req-missing"})
    missing = receiver.first(lambda span: attributes(span).get("tunery.request_id") == "req-missing")
    assert (missing.name, attributes(missing)["http.response.status_code"]) == ("GET /jobs/{job_id}", 404)
    assert "ftjob-unknown" not in str(missing)

    asked = receiver.first(lambda span: attributes(span).get("tunery.request_id") == "req-predict")
    _, predicted = receiver.of("predictor.predict", trace_id=asked.trace_id.hex())
    assert predicted.parent_span_id == asked.span_id
    assert attributes(predicted)["tunery.num_inputs"] == 1
    assert attributes(predicted)["tunery.inference_ms"] > 0
    assert SECRET_TEXT not in str([span for _, span in receiver.spans])


@pytest.mark.long
def test_what_fails_is_marked_by_its_code_alone(reader):
    traced, receiver = reader.service, reader.spans
    training = {
        "num_train_epochs": 100,
        "learning_rate": 1e6,
        "warmup_steps": 0,
        "max_grad_norm": 0,
        "eval_strategy": "no",
    }
    spec = {"model": MODEL, "dataset": {"train": traced.upload(reviews(40, seed=1))}, "training": training}
    done = traced.wait(traced.submit(**spec))
    assert done["error"]["code"] == "loss_nan"
    failed = receiver.first(lambda span: attributes(span).get("error.type") == "loss_nan")
    assert (failed.name, failed.status.code, list(failed.events)) == ("job.attempt", 2, [])
