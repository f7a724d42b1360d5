"""Requests that go through a model together are answered each as soon as its own texts are computed."""

import itertools
import time

import numpy as np
import pytest
import torch

from app.prediction.wire import Failure, Predict, Prediction
from worker.predictor.answering import answer
from worker.predictor.computing import take_turns
from worker.predictor.engine import LoadedModel
from worker.predictor.packed.forward import PackedForward
from worker.predictor.packed.linears import MOST_ROWS
from worker.predictor.scheduler import ModelKey, Pending, Scheduler

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
    """Sixty of one to three texts each, more than any micro-batch takes; tokenised."""
    numbers = itertools.count()

    def make(num_texts):
        number = next(numbers)
        inputs = [(f"{TEXT} {number} {place}", "a bird") for place in range(num_texts)]
        request = Predict(
            request_id=number, model_id="m", folder="", manifest_sha256="", inputs=inputs, timeout_ms=60_000.0
        )
        key = ModelKey(folder=tmp_path, manifest_sha256="")
        pending = Pending(identity=b"me", request=request, key=key, received_at=time.monotonic())
        pending.encoded = model.encode(inputs)
        return pending

    return [make(1 + number % 3) for number in range(60)]


def answers_of(batch, model):
    found = []
    answer(batch, model, max_tokens=512, reply=lambda pending, each: found.append((pending.request.request_id, each)))
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
    computing = "_compute" if model.precision == "bfloat16" else "_forward_batch"
    owner = PackedForward if model.precision == "bfloat16" else LoadedModel
    compute = getattr(owner, computing)
    monkeypatch.setattr(owner, computing, lambda self, batch: (events.append("computed"), compute(self, batch))[1])
    answer(pendings, model, max_tokens=512, reply=lambda *_: events.append("answered"))
    last = len(events) - events[::-1].index("computed")
    assert events[:last].count("answered") > 10


def test_what_fails_for_one_is_his_alone_and_nobody_is_answered_twice(model, threads, pendings, monkeypatch):
    poisoned = pendings[25].encoded[0]
    rows = LoadedModel._rows

    def fail(self, encoded, output):
        if encoded is poisoned:
            raise RuntimeError("poison")
        return rows(self, encoded, output)

    monkeypatch.setattr(LoadedModel, "_rows", fail)
    found = answers_of(pendings, model)
    assert sorted(number for number, _ in found) == list(range(60))
    kinds = {number: type(each) for number, each in found}
    assert kinds.pop(25) is Failure
    assert set(kinds.values()) == {Prediction}


def test_a_turn_is_no_longer_than_what_fills_the_threads(model, threads, pendings, tmp_path, monkeypatch):
    """Who waits behind hundreds of others is answered among the first of them, and not with the last."""
    scheduler = Scheduler(max_texts=1000, memory_bytes=2**40, idle_seconds=60.0)
    scheduler.loaded(pendings[0].key, model=model, name="m")
    turns, found = [], []
    monkeypatch.setattr(scheduler.counts, "batch", lambda batch: turns.append([*batch]))
    for pending in pendings:
        pending.encoded = None
        scheduler.submit(pending)

    def reply(pending, each):
        found.append(each)
        if len(found) == len(pendings):
            scheduler.stop()

    take_turns(scheduler, max_tokens=16384, max_cache_bytes=0, reply=reply)
    assert [pending for turn in turns for pending in turn] == pendings
    tokens = [sum(item.num_tokens for pending in turn for item in pending.encoded) for turn in turns]
    if model.precision == "float32":
        assert len(tokens) == 1
    else:
        most = MOST_ROWS * torch.get_num_threads()
        assert max(tokens) <= most
        assert min(tokens[:-1]) > most - 3 * model.spec.max_length
