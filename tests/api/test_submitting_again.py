"""``Idempotency-Key`` and ``POST /jobs/{id}/retry`` (rows P9 and S2)."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from app.db import transaction
from app.job import idempotency, repository, requests
from tests.api.test_refused_jobs import stocked
from tests.hub.fixtures import fake_hub

__all__ = ["fake_hub", "stocked"]


def count(client):
    return len(client.get("/jobs?limit=100").json()["data"])


def test_the_same_request_under_the_same_key_makes_one_job(stocked):
    client, spec = stocked
    headers = {"idempotency-key": "order-66"}
    first = client.post("/jobs", json=spec, headers=headers)
    again = client.post("/jobs", json=dict(reversed(spec.items())), headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json()["id"] == again.json()["id"]
    assert ("idempotent-replayed" in first.headers, again.headers["idempotent-replayed"]) == (False, "true")
    assert again.headers["location"] == first.headers["location"]
    assert client.post("/jobs", json=spec, headers={"idempotency-key": "order-67"}).json()["id"] != first.json()["id"]
    assert count(client) == 2


def test_twenty_at_a_time_make_one_job(stocked):
    client, spec = stocked
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: client.post("/jobs", json=spec, headers={"idempotency-key": "k"}), range(20)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sum("idempotent-replayed" not in answer.headers for answer in answers) == 1
    assert count(client) == 1


def test_another_request_under_the_same_key_is_refused(stocked):
    client, spec = stocked
    made = client.post("/jobs", json=spec, headers={"idempotency-key": "k"}).json()
    answer = client.post("/jobs", json=spec | {"suffix": "other"}, headers={"idempotency-key": "k"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "idempotency_key_reused")
    assert made["id"] in answer.json()["hint"]
    assert count(client) == 1


def test_a_request_that_was_refused_leaves_its_key_free(stocked):
    client, spec = stocked
    bad = spec | {"training": {"learning_rate": -1}}
    assert client.post("/jobs", json=bad, headers={"idempotency-key": "k"}).status_code == 422
    assert client.post("/jobs", json=spec, headers={"idempotency-key": "k"}).status_code == 201


@pytest.mark.parametrize("key", ["", "k" * 256])
def test_a_key_has_a_length(stocked, key):
    client, spec = stocked
    answer = client.post("/jobs", json=spec, headers={"idempotency-key": key})
    assert (answer.status_code, count(client)) == (422, 0)
    assert answer.json()["error"]["param"] == "idempotency-key"


def test_old_keys_are_forgotten(stocked, monkeypatch):
    client, spec = stocked
    first = client.post("/jobs", json=spec, headers={"idempotency-key": "k"}).json()["id"]
    monkeypatch.setattr(idempotency, "KEPT", idempotency.KEPT * 0)
    with transaction() as session:
        idempotency.forget_old(session)
    assert client.post("/jobs", json=spec, headers={"idempotency-key": "k"}).json()["id"] != first


def test_a_retry_is_a_new_job_from_what_was_sent_with_the_changes_merged_into_it(stocked):
    client, spec = stocked
    sent = spec | {"training": {"num_train_epochs": 2, "seed": 5}, "metadata": {"team": "nlp"}, "priority": 3}
    old = client.post("/jobs", json=sent).json()
    assert client.post(f"/jobs/{old['id']}/retry").json()["error"]["code"] == "job_is_not_over"
    requests.cancel(old["id"])

    same = client.post(f"/jobs/{old['id']}/retry")
    assert (same.status_code, same.headers["location"]) == (201, f"/jobs/{same.json()['id']}")
    assert (same.json()["retry_of"], same.json()["status"]) == (old["id"], "queued")
    assert same.json()["spec"] == old["spec"]

    changed = client.post(f"/jobs/{old['id']}/retry", json={"training": {"seed": 6}, "metadata": {"why": "luck"}})
    spec_of = changed.json()["spec"]
    assert (spec_of["training"]["seed"], spec_of["training"]["num_train_epochs"]) == (6, 2)
    assert spec_of["metadata"] == {"team": "nlp", "why": "luck"}
    with transaction() as session:
        assert repository.get(session, changed.json()["id"]).priority == 3


def test_a_retry_with_changes_that_make_no_spec_is_refused_as_a_spec_is(stocked):
    client, spec = stocked
    old = client.post("/jobs", json=spec).json()["id"]
    requests.cancel(old)
    answer = client.post(f"/jobs/{old}/retry", json={"training": {"learnig_rate": 1}})
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, "training.learnig_rate")
    assert "training.learning_rate" in answer.json()["detail"]
    assert client.post(f"/jobs/{old}/retry", json=[]).status_code == 422
    assert count(client) == 1


def test_a_retry_too_has_a_key(stocked):
    client, spec = stocked
    old = client.post("/jobs", json=spec, headers={"idempotency-key": "k"}).json()["id"]
    requests.cancel(old)
    again = [client.post(f"/jobs/{old}/retry", headers={"idempotency-key": "r"}).json()["id"] for _ in range(2)]
    assert again[0] == again[1] != old
    other = client.post(f"/jobs/{old}/retry", headers={"idempotency-key": "k"})
    assert other.json()["error"]["code"] == "idempotency_key_reused"


def test_a_priority_is_a_whole_number_within_bounds(stocked):
    client, spec = stocked
    for priority in (101, -101, 1.5, "high"):
        answer = client.post("/jobs", json=spec | {"priority": priority})
        assert (answer.status_code, answer.json()["error"]["param"]) == (422, "priority")
