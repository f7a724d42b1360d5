"""Answers on their way: all of them, in order, and no more of them waiting than there are texts."""

import pytest
import zmq

from app.prediction.wire import Failure, Piece, Pong, Token, decode_answer
from worker.predictor.outbox import Outbox


def piece(request_id, number):
    token = Token(id=number, text=f"{number} ", logprob=-1.0, special=False)
    return Piece(request_id=request_id, tokens=[token])


def end(request_id):
    return Failure(request_id=request_id, code="shutting_down", message="")


@pytest.fixture
def line():
    """A router that keeps two messages for each reader, and a way to connect readers that keep one."""
    context = zmq.Context()
    router = context.socket(zmq.ROUTER)
    router.setsockopt(zmq.ROUTER_MANDATORY, 1)
    router.setsockopt(zmq.SNDHWM, 2)
    router.bind("inproc://answers")

    def reader(name):
        dealer = context.socket(zmq.DEALER)
        dealer.setsockopt(zmq.ROUTING_ID, name)
        dealer.setsockopt(zmq.RCVHWM, 1)
        dealer.connect("inproc://answers")
        dealer.send(b"hello")
        assert router.recv_multipart()[0] == name
        return dealer

    yield router, reader
    context.destroy(linger=0)


def received(dealer, *, wait_ms=20):
    answers = []
    while dealer.poll(wait_ms):
        answers.append(decode_answer(dealer.recv()))
    return answers


def test_a_reader_that_takes_nothing_holds_up_no_other_and_loses_nothing(line):
    router, reader = line
    stuck, quick = reader(b"stuck"), reader(b"quick")
    outbox, seen = Outbox(), []
    for number in range(500):
        outbox.put(b"stuck", piece(1, number))
        outbox.put(b"stuck", piece(2, number))
        outbox.put(b"quick", Pong(request_id=number, pid=1, models=[], num_loads=0, num_waiting=0, num_generating=0))
        has_left, gone = outbox.send(router)
        seen += received(quick, wait_ms=0)
        assert gone == []
    assert has_left
    outbox.put(b"stuck", end(1))
    outbox.put(b"stuck", end(2))
    assert len(outbox._waiting[b"stuck"]) <= 2 + 2, "pieces of a text are merged"
    answers = []
    while has_left:
        has_left, _ = outbox.send(router)
        answers += received(stuck)
        seen += received(quick)
    assert [pong.request_id for pong in seen] == list(range(500))
    assert len(answers) < 20
    for request_id in (1, 2):
        *pieces, last = [answer for answer in answers if answer.request_id == request_id]
        assert [token.id for told in pieces for token in told.tokens] == list(range(500))
        assert isinstance(last, Failure)


def test_a_reader_that_is_gone_is_told_of_and_forgotten(line):
    router, reader = line
    here, outbox = reader(b"here"), Outbox()
    for identity in (b"never there", b"here"):
        outbox.put(identity, end(1))
    assert outbox.send(router) == (False, [b"never there"])
    assert outbox.send(router) == (False, [])
    assert len(received(here)) == 1
