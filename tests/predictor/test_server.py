import asyncio
import os
import signal
import socket as sockets
import stat
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest
import zmq

from app.errors import Unavailable
from app.prediction.wire import Failure, Ping, Pong, Prediction, decode_answer, encode
from tests.predictor.conftest import connected
from tests.predictor.tiny_models import running_predictor
from worker.predictor.decode import label_scores
from worker.predictor.engine import LoadedModel

TEXTS = [("the cat sat", "a dog ran"), ("happy", None), ("never and never " * 30, None)]


def test_answers_are_those_of_the_engine(ask, pair_model):
    answer = ask(lambda client: client.predict(TEXTS, **pair_model.question()))
    model = LoadedModel.load(pair_model.folder)
    expected = label_scores(model.logits(TEXTS), labels=model.spec.labels)
    assert [[label for label, _ in row] for row in answer.predictions] == [
        [label for label, _ in row] for row in expected
    ]
    np.testing.assert_allclose(
        [[score for _, score in row] for row in answer.predictions],
        [[s for _, s in row] for row in expected],
        atol=1e-5,
    )
    assert answer.truncated == [False, False, True]
    assert answer.num_tokens == sum(item.num_tokens for item in model.encode(TEXTS))
    assert answer.inference_ms > 0


def test_a_hundred_requests_during_the_first_load_cause_one_load(ask, new_model):
    model = new_model("fresh")

    async def story(client):
        before = (await client.ping()).num_loads
        answers = await asyncio.gather(
            *(client.predict([(f"cat {'dog ' * (i % 20)}", None)], **model.question()) for i in range(100))
        )
        return before, answers, (await client.ping()).num_loads

    before, answers, after = ask(story)
    assert after - before == 1
    assert all(isinstance(answer, Prediction) for answer in answers)
    alone = [
        ask(lambda client, i=i: client.predict([(f"cat {'dog ' * i}", None)], **model.question())) for i in (0, 19)
    ]
    for merged, single in ((answers[0], alone[0]), (answers[19], alone[1])):
        assert merged.predictions[0][0][1] == pytest.approx(single.predictions[0][0][1], abs=1e-5)


def test_a_corrupt_model_is_said_to_be_and_harms_no_other(ask, new_model, pair_model):
    broken = new_model("rotten")
    config = broken.folder / "config.json"
    config.write_bytes(config.read_bytes() + b" ")
    failed = ask(lambda client: client.predict(TEXTS, **broken.question()))
    assert isinstance(failed, Failure)
    assert (failed.code, "config.json" in failed.message) == ("artifact_corrupt", True)
    assert isinstance(ask(lambda client: client.predict(TEXTS, **pair_model.question())), Prediction)


def test_a_folder_outside_the_artefacts_is_not_opened(ask, pair_model, tmp_path):
    for folder in (tmp_path, pair_model.folder / "../../../..", "/etc"):
        failed = ask(lambda client, folder=folder: client.predict(TEXTS, **pair_model.question(folder=str(folder))))
        assert failed.code == "model_load_failed"
        assert "outside" in failed.message


def test_a_second_text_for_a_model_of_single_texts_is_refused(ask, new_model):
    single = new_model("single", text_fields=("text",))
    failed = ask(lambda client: client.predict([("cat", None), ("cat", "dog")], **single.question()))
    assert (failed.code, failed.param) == ("invalid_input", "inputs[1].text_pair")


def test_garbage_is_dropped_and_the_predictor_lives_on(predictor, ask):
    with sockets.socket(sockets.AF_UNIX) as raw:
        raw.connect(str(predictor.socket))
        raw.sendall(os.urandom(5000))
    context = zmq.Context()
    dealer = context.socket(zmq.DEALER)
    dealer.setsockopt(zmq.LINGER, 1000)
    dealer.connect(predictor.address)
    for frames in (
        [b""],
        [b"\xc1"],
        [b"\x93\xa2\xff\xff\x01\x02"],  # not UTF-8, for which msgspec has no error of its own
        [os.urandom(300)],
        [b"a", b"b", b"c"],
        [msgspec.msgpack.encode(["Predict", 1, 2])],
    ):
        dealer.send_multipart(frames)
    dealer.send(encode(Ping(request_id=7)))
    assert dealer.poll(5000)
    assert isinstance(decode_answer(dealer.recv()), Pong)
    context.destroy(linger=0)
    pid = ask(lambda client: client.ping()).pid
    assert pid == predictor.process.pid


@pytest.mark.skipif(not Path("/proc/self/maps").is_file(), reason="needs Linux's /proc")
def test_nothing_is_in_memory_that_no_prediction_needs(predictor, ask, pair_model):
    assert isinstance(ask(lambda client: client.predict(TEXTS, **pair_model.question())), Prediction)
    mapped = Path(f"/proc/{predictor.process.pid}/maps").read_text()
    assert "/torch/" in mapped
    assert [name for name in ("scipy", "pyarrow", "pandas", "sklearn") if f"/{name}/" in mapped] == []


def test_late_requests_cost_nothing(ask, pair_model):
    async def story(client):
        with pytest.raises(Unavailable) as late:
            await client.predict(TEXTS, **pair_model.question(timeout_seconds=0.0))
        return late.value, (await client.ping()).num_waiting

    error, num_waiting = ask(story)
    assert error.code == "prediction_timeout"
    assert error.retry_after_seconds > 0
    assert num_waiting == 0


def test_a_full_queue_is_refused_at_once(home, pair_model, socket_path, talk_to):
    with running_predictor(home, socket_path, "--queue-size", "4") as process:

        async def story(client):
            await connected(client)
            answers = [
                asyncio.ensure_future(client.predict([("cat", None)], **pair_model.question())) for _ in range(12)
            ]
            return await asyncio.gather(*answers)

        answers = talk_to(process.address, story)
        assert [type(answer) for answer in answers] == [Prediction] * 4 + [Failure] * 8  # torch is still being imported
        assert {answer.code for answer in answers[4:]} == {"overloaded"}
        assert stat.S_IMODE(socket_path.stat().st_mode) & 0o077 == 0, "the socket is for its user alone"
        assert stat.S_IMODE(socket_path.parent.stat().st_mode) == 0o700


def test_where_memory_is_full_the_least_recently_used_model_leaves_and_rivals_are_all_answered(
    home, new_model, socket_path, talk_to
):
    first, second, third = (new_model(f"lru-{name}", hidden_size=64) for name in ("first", "second", "third"))
    size = LoadedModel.load(first.folder).memory_bytes
    rivals = [new_model(f"rival-{number}", hidden_size=96) for number in range(2)]
    assert 2 * LoadedModel.load(rivals[0].folder).memory_bytes > 2.5 * size, "they do not fit together"
    with running_predictor(home, socket_path, "--memory-bytes", str(int(2.5 * size))) as process:

        async def story(client):
            await connected(client)
            for model in (first, second, first, third):
                assert isinstance(await client.predict(TEXTS, **model.question()), Prediction)
            kept = (await client.ping()).models
            assert isinstance(await client.predict(TEXTS, **second.question()), Prediction)
            afterwards = await client.ping()
            together = [client.predict([("cat", None)], **rivals[number % 2].question()) for number in range(20)]
            return kept, afterwards, await asyncio.gather(*together)

        kept, afterwards, answers = talk_to(process.address, story)
        assert kept == ["lru-first", "lru-third"]
        assert afterwards.models == ["lru-third", "lru-second"]
        assert afterwards.num_loads == 4
        assert all(isinstance(answer, Prediction) for answer in answers)


def test_a_killed_predictor_is_noticed_at_once_and_used_again_when_it_is_back(home, pair_model, socket_path, talk_to):
    with running_predictor(home, socket_path) as process:

        async def story(client):
            await connected(client)
            asked = asyncio.ensure_future(client.predict(TEXTS, **pair_model.question()))
            await asyncio.sleep(0.1)
            killed_at = time.monotonic()
            process.kill()
            with pytest.raises(Unavailable) as lost:
                await asked
            noticed_seconds = time.monotonic() - killed_at
            with pytest.raises(Unavailable):
                await client.predict(TEXTS, **pair_model.question())
            refused_seconds = time.monotonic() - killed_at
            assert await client.ping() is None
            process.start()
            await connected(client)
            answer = await client.predict(TEXTS, **pair_model.question())
            return lost.value, noticed_seconds, refused_seconds, answer

        lost, noticed_seconds, refused_seconds, answer = talk_to(process.address, story)
        assert (lost.code, lost.retry_after_seconds) == ("predictor_unavailable", 2.0)
        assert noticed_seconds < 1
        assert refused_seconds < 3
        assert isinstance(answer, Prediction)


def test_a_hanging_predictor_does_not_keep_callers(predictor, pair_model, ask):
    async def story(client):
        await client.predict(TEXTS, **pair_model.question())
        os.kill(predictor.process.pid, signal.SIGSTOP)
        try:
            started = time.monotonic()
            with pytest.raises(Unavailable):
                await client.predict(TEXTS, **pair_model.question())
            hung_seconds = time.monotonic() - started
        finally:
            os.kill(predictor.process.pid, signal.SIGCONT)
        return hung_seconds, await client.predict(TEXTS, **pair_model.question())

    hung_seconds, answer = ask(story)
    assert hung_seconds < 8
    assert isinstance(answer, Prediction)


def test_sigterm_ends_it_with_success_and_everybody_is_answered(home, pair_model, socket_path, talk_to):
    with running_predictor(home, socket_path) as process:

        async def story(client):
            await connected(client)
            asked = [asyncio.ensure_future(client.predict(TEXTS, **pair_model.question())) for _ in range(5)]
            await asyncio.sleep(0.05)  # they wait: torch is still being imported
            started = time.monotonic()
            code = await asyncio.to_thread(process.terminate)
            return await asyncio.gather(*asked, return_exceptions=True), code, time.monotonic() - started

        answers, code, seconds = talk_to(process.address, story)
        assert code == 0
        assert seconds < 5
        # On a busy machine a question may reach a predictor that has stopped listening: that is answered too, by the client.
        assert {getattr(answer, "code", None) for answer in answers} <= {"shutting_down", "predictor_unavailable"}


def test_what_is_neither_a_socket_nor_an_address_is_refused(home, socket_path):
    with running_predictor(home, socket_path, "--bind", "inproc://predictor") as process:
        assert process.process.wait(timeout=20) == 1
