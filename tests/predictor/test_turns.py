"""Whose turn it is: a long text and the requests of others beside it. One thread plays all parts, so that the order is certain."""

import itertools
import threading
import time

import pytest

from app.prediction.wire import Piece, Predict, Prediction, Sampling
from tests.predictor.tiny_writers import loaded_writer
from worker.predictor.computing import take_turns
from worker.predictor.engine import LoadedModel
from worker.predictor.pending import ModelKey, Pending
from worker.predictor.scheduler import RESIDENCE_SECONDS, Scheduler


@pytest.fixture(scope="module")
def writer():
    return loaded_writer(ends=False)


@pytest.fixture(scope="module")
def classifier(pair_model):
    return LoadedModel.load(pair_model.folder)


class Stage:
    """A scheduler with models loaded, and what was answered, in order. Computing goes on until nothing is left to do."""

    def __init__(self, tmp_path, *, memory_bytes=2**40, **models):
        self.scheduler = Scheduler(max_texts=1000, memory_bytes=memory_bytes, idle_seconds=60.0)
        self.keys = {name: ModelKey(folder=tmp_path / name, manifest_sha256=name) for name in models}
        for name, model in models.items():
            self.scheduler.loaded(self.keys[name], model=model, name=name)
        self.answers = []
        self.on_answer = lambda pending, answer: None
        self._numbers = itertools.count()

    def ask(self, model, text="the cat", *, identity=b"me", stream=False, timeout_ms=60_000.0, **sampling):
        request = Predict(
            request_id=next(self._numbers), model_id=model, folder="", manifest_sha256="", inputs=[(text, None)],
            timeout_ms=timeout_ms, sampling=Sampling(**sampling) if sampling else None, stream=stream,
        )  # fmt: skip
        pending = Pending(identity=identity, request=request, key=self.keys[model], received_at=time.monotonic())
        self.scheduler.submit(pending)
        return request.request_id

    def compute(self, **options):
        """Until everybody is answered, and nobody asks for more on an answer."""

        def reply(pending, answer):
            self.answers.append(answer)
            self.on_answer(pending, answer)
            if self.scheduler.num_waiting == 0 and all(
                other is pending or other.is_cancelled
                for busy in self.scheduler._generating.values()
                for other in busy.requests
            ) and not isinstance(answer, Piece):  # fmt: skip
                self.scheduler.stop()

        take_turns(self.scheduler, **{"max_tokens": 1024, "max_cache_bytes": 2**30, "reply": reply} | options)

    def pieces_between(self, first, second):
        """Pieces told between the answers to two requests."""
        done = [answer.request_id if isinstance(answer, Prediction) else None for answer in self.answers]
        return done[done.index(first) + 1 : done.index(second)].count(None)


@pytest.fixture
def stage(tmp_path, writer, classifier):
    return Stage(tmp_path, writer=writer, classifier=classifier)


def test_a_long_text_delays_others_by_one_token_at_most(stage):
    text = stage.ask("writer", stream=True, max_new_tokens=40)
    asked = {}

    def when_a_token_came(pending, answer):
        if isinstance(answer, Piece) and len(asked) < 10:
            asked[stage.ask("classifier")] = len(stage.answers)

    stage.on_answer = when_a_token_came
    stage.compute()
    at = {answer.request_id: place for place, answer in enumerate(stage.answers) if isinstance(answer, Prediction)}
    assert [at[number] - place for number, place in asked.items()] == [0] * 10, "each is answered next"
    assert at[text] == len(stage.answers) - 1


def test_a_flood_of_others_does_not_keep_a_text_from_being_written(stage):
    text = stage.ask("writer", stream=True, max_new_tokens=20)
    stage.ask("classifier")

    def ask_again(pending, answer):
        if answer.request_id != text and not any(done.request_id == text and isinstance(done, Prediction) for done in stage.answers):  # fmt: skip
            stage.ask("classifier")

    stage.on_answer = ask_again
    stage.compute()
    kinds = ["piece" if isinstance(answer, Piece) else "answer" for answer in stage.answers if answer.request_id != text or isinstance(answer, Piece)]  # fmt: skip
    longest = max(len(list(group)) for kind, group in itertools.groupby(kinds) if kind == "answer")
    assert kinds.count("piece") == 20
    assert longest <= 2


def test_a_short_text_is_answered_while_a_long_one_is_written(stage):
    long = stage.ask("writer", max_new_tokens=60)
    short = stage.ask("writer", max_new_tokens=5)
    stage.compute()
    assert [answer.request_id for answer in stage.answers] == [short, long]
    assert [answer.texts[0].num_tokens for answer in stage.answers] == [5, 60]


def test_texts_that_do_not_fit_into_the_cache_wait_and_are_all_written(stage):
    numbers = [stage.ask("writer", max_new_tokens=6) for _ in range(12)]
    stage.compute(max_cache_bytes=1)  # one at a time
    assert [answer.request_id for answer in stage.answers] == numbers


def test_who_cancels_or_is_late_costs_nothing_from_the_next_token_on(stage):
    gone = stage.ask("writer", identity=b"gone", stream=True, max_new_tokens=1000)
    late = stage.ask("writer", stream=True, max_new_tokens=3000, timeout_ms=400.0)
    after = []

    def leave(pending, answer):
        if answer.request_id == gone and len(after) == 0:
            stage.scheduler.cancel(b"gone")
            after.append(stage.scheduler.num_generating)

    stage.on_answer = leave
    started = time.monotonic()
    stage.compute()
    assert time.monotonic() - started < 10
    assert sum(answer.request_id == gone for answer in stage.answers) == 1
    assert (stage.answers[-1].request_id, stage.answers[-1].code) == (late, "deadline_exceeded")
    assert stage.scheduler.num_generating == 0


def test_when_it_ends_everybody_is_told(stage):
    numbers = [stage.ask("writer", stream=True, max_new_tokens=1000), stage.ask("writer", max_new_tokens=1000)]
    stage.on_answer = lambda pending, answer: stage.scheduler.stop()
    stage.compute()
    failures = [answer for answer in stage.answers if not isinstance(answer, Piece)]
    assert [(answer.request_id, answer.code) for answer in failures] == [
        (number, "shutting_down") for number in numbers
    ]


def test_a_model_that_writes_is_not_unloaded_but_ends_when_another_needs_its_room(tmp_path, writer, new_model):
    """The other waits for the texts that were begun, and not for those that go on coming."""
    stage = Stage(tmp_path, memory_bytes=1000, writer=writer)
    key = ModelKey(folder=new_model("needs-room").folder, manifest_sha256="")
    begun = [stage.ask("writer", max_new_tokens=3) for _ in range(2)]
    turn = stage.scheduler.next_turn()
    taken = stage.scheduler.take_prompts(turn.key)
    assert [pending.request.request_id for pending in taken] == begun
    stage.ask("writer", max_new_tokens=3)
    other = Predict(request_id=99, model_id="", folder="", manifest_sha256="", inputs=[("a", None)], timeout_ms=1e4)
    stage.scheduler.submit(Pending(identity=b"", request=other, key=key, received_at=time.monotonic()))
    to_load = []
    loading = threading.Thread(target=lambda: to_load.append(stage.scheduler.next_load()))
    loading.start()
    time.sleep(RESIDENCE_SECONDS * 1.4)
    assert stage.scheduler.model_names() == ["writer"]
    stage.scheduler.turn_ended(turn.key, generating=taken, num_wanted=60)
    again = stage.scheduler.next_turn()
    assert stage.scheduler.take_prompts(again.key) == [], "nothing new is begun"
    stage.scheduler.turn_ended(turn.key, generating=[], num_wanted=64)
    loading.join(5)
    assert to_load == [key]
    assert stage.scheduler.model_names() == []
    assert stage.scheduler.num_waiting == 2
