"""What is written with a job's end reaches its receiver: signed, at least once, by the same id each time."""

import json
import threading
import time
from datetime import timedelta

import pytest
from openai import InvalidWebhookSignatureError, OpenAI
from sqlalchemy import select, update

from app import caller
from app.caller import Caller
from app.config import get_settings
from app.db import now, reading, transaction
from app.errors import InvalidRequest
from app.job import lifecycle, repository, requests
from app.job.models import Job
from app.job.states import JobStatus
from app.spec.kinds import JobKind
from app.webhook import repository as webhooks
from app.webhook import sending, service
from app.webhook.models import WebhookDelivery
from app.webhook.schemas import NewWebhook
from tests.job.conftest import insert_job
from tests.job.test_lifecycle import claim
from tests.stack.processes import eventually
from tests.webhook.receiver import receiving

WITH_KEY = Caller(project_id="default", key_id="key-1")
"""Whoever needs no key may have this machine's own services told."""


@pytest.fixture
def receiver():
    with receiving() as running:
        yield running


def deliveries():
    with reading() as session:
        return session.scalars(select(WebhookDelivery).order_by(WebhookDelivery.id)).all()


def make_due():
    with transaction() as session:
        session.execute(update(WebhookDelivery).values(next_attempt_at=WebhookDelivery.created_at))


def cancelled_job(**columns):
    job_id = insert_job(**columns)
    requests.cancel(job_id)
    return job_id


def test_each_end_of_a_job_is_told_once_and_nothing_else(database):
    service.create(NewWebhook(url="https://receiver.example/"))
    ended = {}
    for status in (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.QUEUED, JobStatus.PAUSED):
        job_id = insert_job()
        taken = claim().claim
        with transaction() as session:
            match status:
                case JobStatus.SUCCEEDED:
                    lifecycle.succeed(session, taken, model_id="ft:a:b:c:d")
                case JobStatus.FAILED:
                    lifecycle.fail(session, taken, error={"code": "c", "message": "m", "param": None, "hint": None})
                case JobStatus.CANCELLED:
                    lifecycle.cancelled(session, taken)
                case _:
                    lifecycle.drained(session, taken)
        if status in {JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED}:
            ended[job_id] = f"fine_tuning.job.{status}"
        if status == JobStatus.CANCELLED:
            requests.cancel(job_id)  # once more, which changes nothing
        with transaction() as session:
            session.execute(update(Job).where(Job.status == JobStatus.QUEUED).values(status=JobStatus.PAUSED))
    export = {"model": "ft:a:b:c:d", "format": "onnx"}
    ended[cancelled_job(kind=JobKind.EXPORT, spec=export)] = "export.job.cancelled"
    assert {delivery.job_id: delivery.event for delivery in deliveries()} == ended
    assert len(deliveries()) == len(ended)


def test_a_job_whose_last_worker_is_lost_is_told_to_have_failed(database, monkeypatch):
    monkeypatch.setenv("TUNERY_MAX_LOSSES", "1")
    get_settings.cache_clear()
    service.create(NewWebhook(url="https://receiver.example/"))
    job_id = insert_job()
    claim()
    with transaction() as session:
        assert lifecycle.lost(session, repository.get_locked(session, job_id), reason="Its worker died.")
    assert [delivery.event for delivery in deliveries()] == ["fine_tuning.job.failed"]


def test_an_end_that_is_not_committed_is_told_to_nobody(database):
    service.create(NewWebhook(url="https://receiver.example/"))
    insert_job()
    taken = claim().claim

    def end_and_fail():
        with transaction() as session:
            lifecycle.cancelled(session, taken)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        end_and_fail()
    assert deliveries() == []


def test_what_is_sent_is_what_openais_client_unwraps(database, receiver):
    made = service.create(NewWebhook(url=receiver.url, events=["fine_tuning.job.cancelled"]))
    service.create(NewWebhook(url=receiver.url, events=["fine_tuning.job.failed"]))
    job_id = cancelled_job()
    assert service.deliver_next(made.id)
    assert not service.deliver_next(made.id)
    (sent,) = receiver.deliveries
    client = OpenAI(api_key="any")
    event = client.webhooks.unwrap(sent.body, sent.headers, secret=made.secret)
    assert (event.type, event.object, event.data.id) == ("fine_tuning.job.cancelled", "event", job_id)
    assert event.id.startswith("evt-")
    assert abs(event.created_at - time.time()) < 60
    assert json.loads(sent.body).keys() == {"id", "object", "created_at", "type", "data"}
    with pytest.raises(InvalidWebhookSignatureError):
        client.webhooks.unwrap(sent.body.replace(b"cancelled", b"succeeded"), sent.headers, secret=made.secret)
    (listed, other) = service.list_webhooks().data[::-1]
    assert listed.deliveries.model_dump() == {"pending": 0, "delivered": 1, "given_up": 0}
    assert other.deliveries.model_dump() == {"pending": 0, "delivered": 0, "given_up": 0}


@pytest.mark.parametrize("status", [500, 404, 302])
def test_what_was_not_received_is_sent_again_by_the_same_id_after_growing_pauses(database, receiver, status):
    made = service.create(NewWebhook(url=receiver.url))
    cancelled_job()
    receiver.status, receiver.location = status, receiver.url
    pauses = []
    for _ in range(3):
        assert service.deliver_next(made.id)
        (delivery,) = deliveries()
        pauses.append((delivery.next_attempt_at - delivery.created_at).total_seconds())
        assert not service.deliver_next(made.id)
        make_due()
    assert [5 <= pauses[0] < 8, 20 <= pauses[1] < 27, 80 <= pauses[2] < 105] == [True] * 3
    assert service.list_webhooks().data[0].last_error == f"The receiver answered with {status}."
    receiver.status = 204
    assert service.deliver_next(made.id)
    assert len({sent.headers["webhook-id"] for sent in receiver.deliveries}) == 1
    assert len({sent.body for sent in receiver.deliveries}) == 1
    assert len(receiver.deliveries) == 4  # no redirect was followed
    assert (service.list_webhooks().data[0].deliveries.delivered, service.list_webhooks().data[0].last_error) == (
        1,
        None,
    )


def test_it_is_given_up_after_days(database, receiver):
    made = service.create(NewWebhook(url=receiver.url))
    cancelled_job()
    receiver.status = 500
    with transaction() as session:
        early = deliveries()[0].created_at - timedelta(days=3)
        session.execute(update(WebhookDelivery).values(created_at=early))
    assert service.deliver_next(made.id)
    make_due()
    assert not service.deliver_next(made.id)
    assert service.list_webhooks().data[0].deliveries.given_up == 1
    service.forget_old()
    assert len(deliveries()) == 1
    with transaction() as session:
        session.execute(update(WebhookDelivery).values(ended_at=early - timedelta(days=7)))
    service.forget_old()
    assert deliveries() == []


def test_what_a_process_was_sending_when_it_died_is_sent_by_another(database, receiver):
    made = service.create(NewWebhook(url=receiver.url))
    cancelled_job()
    with transaction() as session:  # and then nothing: it is gone
        moment = now(session)
        first = webhooks.claim_due(session, made.id, moment=moment, until=moment + timedelta(seconds=60))
    assert not service.deliver_next(made.id)
    make_due()
    assert service.deliver_next(made.id)
    assert [sent.headers["webhook-id"] for sent in receiver.deliveries] == [first.id]
    with transaction() as session:  # it was only slow, and comes too late to say anything
        webhooks.record(session, first, state="pending", last_error="too late")
    assert (deliveries()[0].state, deliveries()[0].last_error) == ("delivered", None)


def test_a_deleted_webhook_is_told_nothing_more(database, receiver):
    made = service.create(NewWebhook(url=receiver.url))
    cancelled_job()
    service.delete(made.id)
    assert deliveries() == []
    assert not service.deliver_next(made.id)
    assert receiver.deliveries == []


def test_a_receiver_that_hangs_holds_up_no_other_and_is_not_waited_for(database, receiver, monkeypatch):
    monkeypatch.setenv("TUNERY_WEBHOOK_TIMEOUT_SECONDS", "3")
    get_settings.cache_clear()
    receiver.hangs = threading.Event()
    with receiving() as quick, sending.running():
        service.create(NewWebhook(url=receiver.url))
        service.create(NewWebhook(url=quick.url))
        started = time.monotonic()
        cancelled_job()
        assert time.monotonic() - started < 3, "not before the receiver was given up"
        assert eventually(lambda: quick.deliveries, seconds=10)
        assert eventually(lambda: service.list_webhooks().data[1].last_error is not None, seconds=10)
        assert "time" in service.list_webhooks().data[1].last_error.lower()
    receiver.hangs.set()


def test_a_name_that_leads_into_this_network_is_not_sent_to(database, receiver, monkeypatch):
    with caller.acting_for(WITH_KEY):
        made = service.create(NewWebhook(url=f"http://2130706433:{receiver.port}/hook"))
    cancelled_job()
    assert service.deliver_next(made.id)
    assert receiver.deliveries == []
    assert "127.0.0.1, a private address" in service.list_webhooks().data[0].last_error
    monkeypatch.setenv("TUNERY_WEBHOOK_ALLOWED_HOSTS", "127.0.0.0/8")
    get_settings.cache_clear()
    make_due()
    assert service.deliver_next(made.id)
    assert len(receiver.deliveries) == 1


def test_a_name_that_nobody_knows_is_a_failure_like_any_other(database):
    for host in ("no-such-host.invalid", "a" * 64 + ".example"):
        made = service.create(NewWebhook(url=f"https://{host}/"))
        cancelled_job()
        assert service.deliver_next(made.id)
        assert service.list_webhooks().data[0].last_error
        service.delete(made.id)


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("ftp://receiver.example/", "invalid_value"),
        ("receiver.example", "invalid_value"),
        ("http://", "invalid_value"),
        ("http://receiver.example:0/", "invalid_value"),
        ("http://receiver.example:port/", "invalid_value"),
        ("http://user:word@receiver.example/", "invalid_value"),
        ("http://receiver.example/a b", "invalid_value"),
        ("http://receiver.example/\r\nx: y", "invalid_value"),
        ("http://169.254.169.254/latest", "webhook_address_not_allowed"),
        ("http://[::ffff:10.0.0.1]/", "webhook_address_not_allowed"),
        ("http://localhost:8000/", "webhook_address_not_allowed"),
    ],
)
def test_a_url_that_cannot_be_sent_to_is_refused_at_once(sqlite_home, url, code):
    with caller.acting_for(WITH_KEY), pytest.raises(InvalidRequest) as caught:
        service.create(NewWebhook(url=url))
    assert (caught.value.param, caught.value.code) == ("url", code)


def test_the_http_face(client):
    made = client.post("/webhooks", json={"url": "https://receiver.example/", "events": ["fine_tuning.job.failed"]})
    assert made.status_code == 201
    assert made.json()["secret"].startswith("whsec_")
    (listed,) = client.get("/webhooks").json()["data"]
    assert listed == {name: value for name, value in made.json().items() if name != "secret"}
    wrong = client.post("/webhooks", json={"url": "https://receiver.example/", "events": ["job.done"]})
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (422, "events.0")
    assert client.delete(f"/webhooks/{listed['id']}").json()["deleted"] is True
    gone = client.delete(f"/webhooks/{listed['id']}")
    assert (gone.status_code, gone.json()["error"]["code"]) == (404, "webhook_not_found")
    for _ in range(service.MOST_WEBHOOKS):
        client.post("/webhooks", json={"url": "https://receiver.example/"})
    full = client.post("/webhooks", json={"url": "https://receiver.example/"})
    assert (full.status_code, full.json()["error"]["code"]) == (409, "too_many_webhooks")
