"""``GET /jobs/{id}/mistakes`` on either database: stored by the attempt that measured last, filtered by class, in pages."""

import pytest

from app.db import transaction
from app.job import records
from app.job.models import Job
from app.spec.messages import MistakesMessage
from app.spec.mistakes import Mistake
from tests.job.conftest import insert_job
from tests.job.test_lifecycle import claim
from worker.relay import Relay

PAIRS = [("joy", "anger"), ("joy", "fear"), ("anger", "joy"), ("joy", "anger")]


def message(pairs=PAIRS, *, split="validation"):
    found = [
        Mistake(row=n, text=f'„text" {n}\u2028', label=true, predicted=given, missed=[true], wrong=[given], score=0.9)
        for n, (true, given) in enumerate(pairs, start=7)
    ]
    return MistakesMessage(split=split, rows_of="train", num_examples=50, num_wrong=12, mistakes=found)


@pytest.fixture
def ask(either_client):
    job_id = insert_job()
    relay = Relay(claim().claim)

    def tell(*messages):
        relay.pending += messages
        relay.flush()

    def get(**params):
        answer = either_client.get(f"/jobs/{job_id}/mistakes", params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    get.tell, get.job_id = tell, job_id
    return get


def test_mistakes_come_worst_first_by_class_and_in_pages(ask):
    empty = ask()
    assert (empty["num_examples"], empty["num_wrong"], empty["rows_of"], empty["data"]) == (None, None, None, [])
    ask.tell(message())
    page = ask(limit=3)
    assert [(mistake["number"], mistake["row"]) for mistake in page["data"]] == [(1, 7), (2, 8), (3, 9)]
    assert (page["num_examples"], page["num_wrong"], page["num_kept"], page["rows_of"]) == (50, 12, 4, "train")
    assert (page["has_more"], page["last_id"]) == (True, "3")
    rest = ask(after=page["last_id"], limit=3)
    assert ([mistake["row"] for mistake in rest["data"]], rest["has_more"]) == ([10], False)
    assert rest["data"][0]["text"] == '„text" 10\u2028'
    assert [m["number"] for m in ask(label="joy", predicted="anger")["data"]] == [1, 4]
    assert [m["number"] for m in ask(predicted="joy")["data"]] == [3]
    assert ask(label="nothing of that name")["data"] == []
    assert ask(split="test")["data"] == []


def test_another_attempt_measures_again_and_what_it_finds_is_kept(ask):
    ask.tell(message(), message(split="test"))
    ask.tell(message(PAIRS[:1]))
    assert (ask()["num_kept"], ask(split="test")["num_kept"]) == (1, 4)


def test_they_go_with_the_job(ask):
    ask.tell(message())
    with transaction() as session:
        session.delete(session.get_one(Job, ask.job_id))
    with transaction() as session:
        assert records.mistakes(session, ask.job_id, split="validation") is None


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("ftjob-" + "0" * 32, 404, "job_not_found"),
        ("{job}?after=x", 422, "invalid_cursor"),
        ("{job}?split=train", 422, "invalid_value"),
    ],
)
def test_what_is_asked_wrongly_is_refused(ask, either_client, path, status, code):
    job, _, query = path.partition("?")
    answer = either_client.get(f"/jobs/{job.format(job=ask.job_id)}/mistakes?{query}")
    assert answer.status_code == status
    assert f'"{code}"' in answer.text
