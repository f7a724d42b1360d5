"""Generated texts over the socket: as they come, to the end, and no further than somebody reads them."""

import asyncio
import time

import pytest
import zmq

from app.errors import Unavailable
from app.prediction.schemas import PredictParameters
from app.prediction.wire import (
    Piece,
    Predict,
    Prediction,
    Sampling,
    encode,
)
from tests.predictor.tiny_writers import make_writer
from worker.predictor.engine import LoadedModel

LONG = 4000


@pytest.fixture(scope="module")
def writer(home):
    return make_writer(home / "artefacts" / "models" / "writer", ends=False)


def asking(model, *, timeout_seconds=60.0, **parameters):
    return model.question(timeout_seconds=timeout_seconds, parameters=PredictParameters(**parameters))


async def until(condition):
    """Wait for what another process does."""
    async with asyncio.timeout(20):
        while not await condition():  # noqa: ASYNC110  another process: there is no event to wait for
            await asyncio.sleep(0.01)


def text_of(pieces):
    return "".join(token.text for piece in pieces for token in piece.tokens)


def test_a_stream_says_what_the_answer_says(ask, writer):
    async def story(client):
        whole = await client.predict([("Grüße", None)], **asking(writer, max_new_tokens=60))
        answers = [answer async for answer in client.stream([("Grüße", None)], **asking(writer, max_new_tokens=60))]
        return whole, answers

    whole, (*pieces, last) = ask(story)
    assert last.texts == whole.texts
    assert (last.num_tokens, last.truncated) == (whole.num_tokens, [False]) == (7 + 60, [False])
    assert text_of(pieces) == whole.texts[0].text
    assert sum(len(piece.tokens) for piece in pieces) == 60
    assert len(pieces) > 5
    model = LoadedModel.load(writer.folder)
    (expected,) = model.generate(model.encode([("Grüße", None)]), Sampling(max_new_tokens=60), stopped=bool)
    assert expected == whole.texts[0]


def test_thirty_two_at_once_are_answered_as_each_alone(ask, writer):
    prompts = ["a" * (1 + number % 7) + chr(98 + number % 20) for number in range(32)]

    async def story(client):
        options = asking(writer, max_new_tokens=30, do_sample=True, seed=5)
        together = await asyncio.gather(*(client.predict([(text, None)], **options) for text in prompts))
        in_one = await client.predict([(text, None) for text in prompts], **options)
        alone = [await client.predict([(text, None)], **options) for text in prompts[:4]]
        return together, in_one, alone

    together, in_one, alone = ask(story)
    assert [answer.texts[0] for answer in together] == in_one.texts
    assert [answer.texts[0] for answer in alone] == in_one.texts[:4]
    assert len({text.text for text in in_one.texts}) > 20


def test_a_long_text_and_a_classification_beside_it(ask, writer, pair_model):
    async def story(client):
        await client.predict([("cat", None)], **pair_model.question())
        done, begun = [], asyncio.Event()

        async def read():
            async for answer in client.stream([("x", None)], **asking(writer, max_new_tokens=1000)):
                done.append(answer)
                begun.set()

        reading = asyncio.ensure_future(read())
        await begun.wait()
        for _ in range(5):
            answer = await client.predict([("cat", None)], **pair_model.question())
            done.append(answer)
        await reading
        return done

    done = ask(story)
    classified = [place for place, answer in enumerate(done) if isinstance(answer, Prediction) and answer.predictions]
    assert len(classified) == 5
    assert sum(len(answer.tokens) for answer in done if isinstance(answer, Piece)) == 1000
    assert sum(len(answer.tokens) for answer in done[: classified[-1]] if isinstance(answer, Piece)) < 250


@pytest.mark.parametrize("leaving", ["closing", "cancelling", "dying"])
def test_the_predictor_stops_working_for_who_goes_away(ask, predictor, writer, leaving):
    async def story(client):
        async def generates():
            return (await client.ping()).num_generating > 0

        async def rests():
            return not await generates()

        began = time.monotonic()
        async for _ in client.stream([("x", None)], **asking(writer, max_new_tokens=LONG // 20)):
            pass
        whole = 20 * (time.monotonic() - began)
        if leaving == "dying":
            raw = zmq.Context().socket(zmq.DEALER)
            raw.connect(predictor.address)
            raw.send(encode(question_of(writer)))
            await until(generates)
            raw.context.destroy(linger=0)
        else:
            stream = client.stream([("x", None)], **asking(writer, max_new_tokens=LONG))
            await anext(stream)
            assert await generates()
            if leaving == "closing":
                await stream.aclose()
            else:
                while True:  # a piece that is there already is given at once, and then nobody waits
                    waiting = asyncio.ensure_future(anext(stream))
                    await asyncio.sleep(0)
                    if waiting.cancel():
                        break
        started = time.monotonic()
        await until(rests)
        return time.monotonic() - started, whole

    took, whole = ask(story)
    assert took < max(2, whole / 2), "all of it would take longer"


def question_of(model, *, request_id=1):
    return Predict(
        request_id=request_id, model_id=model.id, folder=str(model.folder), manifest_sha256=model.manifest_sha256,
        inputs=[("x", None)], timeout_ms=60_000.0, sampling=Sampling(max_new_tokens=LONG), stream=True,
    )  # fmt: skip


def test_a_slow_reader_gets_all_of_it_in_fewer_pieces(ask, writer):
    async def story(client):
        stream = client.stream([("x", None)], **asking(writer, max_new_tokens=200))
        pieces = [await anext(stream)]

        async def rests():
            return (await client.ping()).num_generating == 0

        await until(rests)
        return pieces, [answer async for answer in stream]

    pieces, (*rest, last) = ask(story)
    assert len(rest) == 1
    assert text_of(pieces + rest) == last.texts[0].text
    assert sum(len(piece.tokens) for piece in pieces + rest) == 200


def test_a_text_that_takes_too_long_breaks_off(ask, writer):
    async def story(client):
        received, options = [], asking(writer, max_new_tokens=LONG, timeout_seconds=0.3)

        async def read():
            async for answer in client.stream([("x", None)], **options):
                received.append(answer)  # noqa: PERF401  what came before an error is kept

        try:
            await read()
        except Unavailable as error:  # the predictor and its client tell the time by clocks of their own
            received.append(error)
        return received

    *pieces, last = ask(story)
    assert last.code in {"prediction_timeout", "deadline_exceeded"}
    assert pieces
    assert all(isinstance(piece, Piece) for piece in pieces)


def test_a_model_that_generates_nothing_has_no_stream(ask, pair_model):
    async def story(client):
        return [answer async for answer in client.stream([("cat", None)], **pair_model.question())]

    (failed,) = ask(story)
    assert (failed.code, failed.param) == ("invalid_input", "stream")
