"""One trace from a request to the trainer's phases, of real processes, received by a server of OpenTelemetry's protocol."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.road.conftest import Service
from tests.road.tiny import reviews
from tests.stack.processes import Up

SECRET_TEXT = "kumquat"
EXPORT_SECONDS = 60


class Receiver:
    """Keeps the spans that it is sent."""

    def __init__(self):
        spans = self.spans = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                request = ExportTraceServiceRequest.FromString(body)
                for resource in request.resource_spans:
                    service = attributes(resource.resource)["service.name"]
                    spans.extend((service, span) for scope in resource.scope_spans for span in scope.spans)
                self.send_response(200)
                self.send_header("content-type", "application/x-protobuf")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_port}"

    def of(self, name):
        """The service and the span of that name, once it has come."""
        span = self.first(lambda span: span.name == name)
        return next(service for service, one in self.spans if one is span), span

    def first(self, matches):
        """The first span that does, once it has come."""
        deadline = time.monotonic() + EXPORT_SECONDS
        while not (found := [span for _, span in self.spans if matches(span)]):
            assert time.monotonic() < deadline, [span.name for _, span in self.spans]
            time.sleep(0.1)
        return found[0]


def attributes(of):
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in of.attributes}


@pytest.fixture(scope="module")
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.server.shutdown()
    receiver.server.server_close()


@pytest.fixture(scope="module")
def traced(tmp_path_factory, encoder, receiver):
    up = Up(
        tmp_path_factory.mktemp("traced") / "home",
        OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url,
        OTEL_BSP_SCHEDULE_DELAY="200",
    )
    try:
        running = Service(up, up.wait_ready())
        running.register("tiny-bert", encoder)
        yield running
        assert up.stop() == 0, up.log()[-4000:]
    finally:
        up.clean_up()


def test_a_trace_leads_from_the_request_through_the_attempt_to_the_trainers_phases(traced, receiver):
    rows = [row | {"text": f"{SECRET_TEXT} {row['text']}"} for row in reviews(40, seed=1)]
    trace_id, parent_id = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    spec = {
        "model": "tiny-bert", "dataset": {"train": traced.upload(rows)}, "training": {"max_steps": 2},
        "metadata": {"note": SECRET_TEXT},
    }  # fmt: skip
    headers = {"traceparent": f"00-{trace_id}-{parent_id}-01", "x-request-id": "req-of-the-test"}
    job = traced.http.post("/jobs", json=spec, headers=headers).raise_for_status().json()
    done = traced.wait(job["id"])
    assert done["status"] == "succeeded", done["error"]
    question = {"model": done["model"]["id"], "inputs": f"A {SECRET_TEXT} that nobody knows."}
    traced.http.post("/predict", json=question, headers={"x-request-id": "req-predict"}).raise_for_status()

    service, request = receiver.of("POST /jobs")
    _, submit = receiver.of("job.submit")
    worker, attempt = receiver.of("job.attempt")
    _, phase = receiver.of("trainer.training")
    assert (service, worker) == ("tunery-api", "tunery-worker")
    assert {span.trace_id.hex() for span in (request, submit, attempt, phase)} == {trace_id}
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

    traced.http.get("/jobs/ftjob-unknown")
    missing = receiver.first(lambda span: attributes(span).get("http.response.status_code") == 404)
    assert missing.name == "GET /jobs/{job_id}"
    assert "ftjob-unknown" not in str(missing)

    _, asked = receiver.of("POST /predict")
    _, predicted = receiver.of("predictor.predict")
    assert predicted.parent_span_id == asked.span_id
    assert attributes(predicted)["tunery.num_inputs"] == 1
    assert attributes(predicted)["tunery.inference_ms"] > 0
    assert SECRET_TEXT not in str([span for _, span in receiver.spans])


@pytest.mark.long
def test_what_fails_is_marked_by_its_code_alone(traced, receiver):
    training = {
        "num_train_epochs": 100,
        "learning_rate": 1e6,
        "warmup_steps": 0,
        "max_grad_norm": 0,
        "eval_strategy": "no",
    }
    spec = {"model": "tiny-bert", "dataset": {"train": traced.upload(reviews(40, seed=1))}, "training": training}
    done = traced.wait(traced.submit(**spec))
    assert done["error"]["code"] == "loss_nan"
    failed = receiver.first(lambda span: attributes(span).get("error.type") == "loss_nan")
    assert (failed.name, failed.status.code, list(failed.events)) == ("job.attempt", 2, [])
