"""Requests to a classifier are answered each as soon as its own texts are computed, whoever else's are computed with them."""

import itertools
import time

import msgspec
import numpy as np
import pytest
import torch

from app.prediction.wire import Failure, Predict, Prediction
from worker.predictor.computing import take_turns
from worker.predictor.engine import LoadedModel
from worker.predictor.packed.forward import PackedForward
from worker.predictor.packed.linears import MOST_ROWS
from worker.predictor.pending import ModelKey, Pending
from worker.predictor.scheduler import Scheduler

TEXT = "the cat sat on the mat and the dog " * 4


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def model(new_model, request):
    loaded = LoadedModel.load(new_model(f"answering-{request.param}", precision=request.param).folder)
    assert loaded.precision == request.param
    return loaded


@pytest.fixture(params=[1, 2])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def pendings(model, tmp_path):
    """Sixty of one to three texts each, more than any micro-batch takes."""
    numbers = itertools.count()
    key = ModelKey(folder=tmp_path, manifest_sha256="")

    def make(num_texts):
        number = next(numbers)
        inputs = [(f"{TEXT} {number} {place}", "a bird") for place in range(num_texts)]
        request = Predict(
            request_id=number, model_id="m", folder="", manifest_sha256="", inputs=inputs, timeout_ms=60_000.0
        )
        return Pending(identity=b"me", request=request, key=key, received_at=time.monotonic())

    return [make(1 + number % 3) for number in range(60)]


def scheduled(pendings, model):
    """A scheduler with the model, and them in its queue."""
    scheduler = Scheduler(max_texts=1000, memory_bytes=2**40, idle_seconds=60.0)
    scheduler.loaded(pendings[0].key, model=model, name="m")
    for pending in pendings:
        pending.encoded = pending.progress = None
        scheduler.submit(pending)
    return scheduler


def answers_of(pendings, model, *, scheduler=None, max_tokens=512, on_answer=lambda pending: None):
    """With the requests' numbers, in the order in which they came."""
    scheduler = scheduler or scheduled(pendings, model)
    found = []

    def reply(pending, each):
        found.append((pending.request.request_id, each))
        on_answer(pending)
        if len(found) == len(pendings):
            scheduler.stop()

    take_turns(scheduler, max_tokens=max_tokens, max_cache_bytes=0, reply=reply)
    return found


def scores(found):
    return {number: [[score for _, score in sorted(text)] for text in each.predictions] for number, each in found}


def test_everybody_gets_one_answer_with_what_was_asked(model, threads, pendings):
    found = answers_of(pendings, model)
    assert sorted(number for number, _ in found) == list(range(60))
    alone = scores([pair for pending in pendings for pair in answers_of([pending], model)])
    for number, own in scores(found).items():
        assert len(own) == 1 + number % 3
        np.testing.assert_allclose(own, alone[number], atol=0 if model.precision == "bfloat16" else 1e-5)


def test_the_first_are_answered_before_the_last_are_computed(model, threads, pendings, monkeypatch):
    events = []
    owner, name = (PackedForward, "outputs") if model.precision == "bfloat16" else (LoadedModel, "_forward_batch")
    compute = getattr(owner, name)
    monkeypatch.setattr(owner, name, lambda self, batch: (events.append("computed"), compute(self, batch))[1])
    answers_of(pendings, model, on_answer=lambda _: events.append("answered"))
    last = len(events) - events[::-1].index("computed")
    assert events[:last].count("answered") > 10


def test_what_fails_for_one_is_his_alone_and_nobody_is_answered_twice(model, threads, pendings, monkeypatch):
    rows = LoadedModel._rows

    def fail(self, encoded, output):
        if encoded is pendings[25].encoded[0]:
            raise RuntimeError("poison")
        return rows(self, encoded, output)

    monkeypatch.setattr(LoadedModel, "_rows", fail)
    found = answers_of(pendings, model)
    assert sorted(number for number, _ in found) == list(range(60))
    kinds = {number: type(each) for number, each in found}
    assert kinds.pop(25) is Failure
    assert set(kinds.values()) == {Prediction}


def test_micro_batches_are_as_large_as_a_lane_takes_and_full(model, threads, pendings, monkeypatch):
    scheduler = scheduled(pendings, model)
    batches = []
    monkeypatch.setattr(scheduler.counts, "batch", lambda encoded: batches.append([*encoded]))
    answers_of(pendings, model, scheduler=scheduler, max_tokens=16384)
    texts = [id(text) for pending in pendings for text in pending.encoded]
    assert sorted(id(text) for batch in batches for text in batch) == sorted(texts)
    tokens = [sum(text.num_tokens for text in batch) for batch in batches]
    if model.precision == "float32":
        assert len(tokens) == 1, "it is cut after padding"
    else:
        left = [sum(tokens[number:]) for number in range(len(tokens))]
        with_enough_for_two = [own for own, before in zip(tokens, left, strict=True) if before >= 2 * MOST_ROWS]
        assert {*with_enough_for_two} == {MOST_ROWS}, (
            "what is left then is halved, by whoever is free, as often as he is"
        )
        assert max(tokens) == MOST_ROWS


def test_what_comes_while_others_are_computed_is_computed_in_the_same_turn(model, threads, pendings, monkeypatch):
    *first, last = pendings
    scheduler = scheduled(first, model)
    turns = []
    next_turn = scheduler.next_turn
    monkeypatch.setattr(scheduler, "next_turn", lambda: (turns.append(0), next_turn())[1])
    late = iter([last])

    def submit_one(_):
        for pending in late:
            scheduler.submit(pending)

    found = answers_of(pendings, model, scheduler=scheduler, on_answer=submit_one)
    assert sorted(number for number, _ in found) == list(range(60))
    assert len(turns) == 2, "the second is told that it is over"


def test_a_request_of_many_texts_gives_way_to_one_for_another_model_and_is_ended_later(
    model, threads, pendings, tmp_path
):
    """Its texts that are computed are not computed again."""
    *many, other = pendings
    other.key = ModelKey(folder=tmp_path / "other", manifest_sha256="")
    many[0].request = msgspec.structs.replace(many[0].request, inputs=[(TEXT, str(number)) for number in range(64)])
    alone = scores(answers_of([many[0]], model))[0]
    scheduler = scheduled([many[0]], model)
    scheduler.loaded(other.key, model=model, name="other")
    batches = []
    count = scheduler.counts.batch

    def batch(encoded):
        batches.append([*encoded])
        if len(batches) == 1:
            scheduler.submit(other)
        count(encoded)

    scheduler.counts.batch = batch
    found = answers_of([many[0], other], model, scheduler=scheduler)
    assert [number for number, _ in found] == [59, 0]
    assert sum(map(len, batches)) == 64 + other.num_texts
    np.testing.assert_allclose(scores(found)[0], alone, atol=0 if model.precision == "bfloat16" else 1e-5)


@pytest.mark.parametrize("why", ["cancelled", "late"])
def test_of_a_request_that_nobody_wants_any_more_the_rest_is_not_computed(model, threads, pendings, why):
    gone, *others = pendings[:5]
    gone.request = msgspec.structs.replace(gone.request, inputs=[(TEXT, str(number)) for number in range(64)])
    scheduler = scheduled([gone, *others], model)
    batches, put_back = [], scheduler.put_back

    def put_back_and_leave(requests):
        put_back(requests)
        if why == "cancelled":
            scheduler.cancel(b"me", request_id=gone.request.request_id)
        else:
            gone.request = msgspec.structs.replace(gone.request, timeout_ms=0.0)

    scheduler.put_back = put_back_and_leave
    scheduler.counts.batch = lambda encoded: batches.append([*encoded])
    found = dict(answers_of(others if why == "cancelled" else [gone, *others], model, scheduler=scheduler))
    assert {number for number, each in found.items() if isinstance(each, Prediction)} == {1, 2, 3, 4}
    assert why == "cancelled" or found[0].code == "deadline_exceeded"
    assert 0 < sum(map(len, batches)) < 64


def test_when_it_ends_what_was_put_back_is_found_by_whoever_stops_it(model, threads, pendings):
    scheduler = scheduled(pendings, model)
    count = scheduler.counts.batch
    refused = []

    def batch(encoded):
        refused.extend(scheduler.stop())
        count(encoded)

    scheduler.counts.batch = batch
    found = []
    take_turns(scheduler, max_tokens=512, max_cache_bytes=0, reply=lambda pending, _: found.append(pending))
    refused += scheduler.stop()
    assert {*found} | {*refused} == {*pendings}
    assert len(found) + len(refused) == len(pendings)
    assert found
