"""``GET /jobs/{id}/events`` as a stream: no gap and no repeat, a sign of life, and an end (row P10)."""

import json
import threading
import time

import pytest
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from app import ids
from app.api import events as streams
from app.db import transaction
from app.job import events, requests, service
from tests.job.conftest import insert_job

STREAM = {"accept": "text/event-stream"}


def frames(body):
    """The events of a stream, each with its id and its number."""
    found = []
    for frame in body.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in frame.split("\n") if ": " in line and not line.startswith(":"))
        if "data" in fields:
            found.append((fields["id"], json.loads(fields["data"])["number"]))
    return found


def story(job_id, *, num_events, begin):
    """Something happens to the job once ``begin`` returns, and then it is cancelled."""

    def happen():
        begin()
        for number in range(num_events):
            with transaction() as session:
                events.append(session, job_id, f"event {number}")
        requests.cancel(job_id)

    thread = threading.Thread(target=happen)
    thread.start()
    return thread


def test_a_stream_goes_on_from_the_last_event_received_and_ends_with_the_job(either_client, monkeypatch):
    monkeypatch.setattr(streams, "KEEP_ALIVE_SECONDS", 0.1)
    monkeypatch.setattr(streams, "PAGE", 7)
    job_id = insert_job()
    silent = threading.Event()
    wait_beyond = streams.StreamHub.wait_beyond

    async def told_of_silence(hub, job_id, number):
        found = await wait_beyond(hub, job_id, number)
        if not found:
            silent.set()
        return found

    monkeypatch.setattr(streams.StreamHub, "wait_beyond", told_of_silence)
    happening = story(job_id, num_events=40, begin=lambda: silent.wait(30))
    answer = either_client.get(f"/jobs/{job_id}/events", headers=STREAM)
    happening.join()
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert [number for _, number in frames(answer.text)] == list(range(1, 43))
    assert ": keep-alive" in answer.text

    resumed = either_client.get(
        f"/jobs/{job_id}/events", headers=STREAM | {"last-event-id": frames(answer.text)[24][0]}
    )
    assert [number for _, number in frames(resumed.text)] == list(range(26, 43))
    at_the_end = either_client.get(
        f"/jobs/{job_id}/events", headers=STREAM | {"last-event-id": ids.event_id(job_id, 42)}
    )
    assert frames(at_the_end.text) == []


@pytest.mark.timeout(30)
def test_streams_go_on_after_the_database_was_too_busy_to_answer(client, monkeypatch):
    """Neither the poller of all streams nor the stream itself ends with a query that failed."""
    really, calls = service.newest_events, []

    def busy_now_and_then(job_ids):
        calls.append(job_ids)
        if len(calls) in {1, 2, 4}:
            raise PoolTimeoutError("QueuePool limit reached")
        return really(job_ids)

    job_id = insert_job()
    monkeypatch.setattr(service, "newest_events", busy_now_and_then)
    monkeypatch.setattr(streams, "RETRY_SECONDS", 0.1)
    monkeypatch.setattr(streams, "KEEP_ALIVE_SECONDS", 0.5)
    happening = story(job_id, num_events=3, begin=lambda: time.sleep(1.5))
    answer = client.get(f"/jobs/{job_id}/events", headers=STREAM)
    happening.join()
    assert len(calls) > 4
    assert [number for _, number in frames(answer.text)] == list(range(1, 6))
