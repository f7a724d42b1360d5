"""Served packed: what the padded model answers, up to bfloat16, and the same bits in every batch."""

import functools
import gc
import inspect
import threading
import weakref

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

from tests.trainer.packed.conftest import VOCABULARY, classifier
from worker.predictor.encoded import EncodedText
from worker.predictor.packed import forward as forward_module
from worker.predictor.packed import lanes, linears
from worker.predictor.packed.forward import PackedForward, packs
from worker.predictor.packed.layout import ROW_ROUNDING, filled_count, filled_up, lay_out, rounded
from worker.predictor.packed.linears import MOST_ROWS, STEPPED_ROWS, ExactRows, PackedLinear, exact_rows
from worker.predictor.parts import GivenParts, Part

ENCODERS = ["bert", "roberta", "electra", "distilbert", "modernbert"]
LENGTHS = [5, 16, 17, 31, 40, 64, 70, 1, 48, 23, 16, 9]
TASKS = [AutoModelForSequenceClassification, AutoModelForTokenClassification, AutoModelForQuestionAnswering]


def pad_of(name):
    return 1 if name == "roberta" else 0


@pytest.fixture(scope="module")
def texts():
    chooser = np.random.default_rng(3)
    return [
        EncodedText(
            input_ids=chooser.integers(5, VOCABULARY, length).tolist(),
            token_type_ids=chooser.integers(0, 2, length).tolist(),
            truncated=False,
        )
        for length in LENGTHS
    ]


def model_of(name, auto_model=AutoModelForSequenceClassification):
    changes = {} if auto_model is not AutoModelForQuestionAnswering else {"num_labels": 2}
    return classifier(name, auto_model, **changes).eval()


def packed(name, auto_model=AutoModelForSequenceClassification):
    return computing(PackedForward.of(model_of(name, auto_model), pad_id=pad_of(name), max_length=70))


def computing(forward):
    """A function of texts: their outputs. ``forward`` is what it asks."""
    assert forward is not None, "it is packed"

    def outputs(texts):
        found = {}

        def compute(batch):
            outputs = forward.outputs([part.encoded for part in batch])
            found.update({part.owner: output for part, output in zip(batch, outputs, strict=True)})

        parts = [Part(encoded=text, take=found.get, owner=number) for number, text in enumerate(texts)]
        forward.compute(compute, GivenParts(parts, at_once=16))
        return [found[number] for number in range(len(texts))]

    outputs.forward = forward
    return outputs


def plain(model, texts):
    """What transformers gives for each text alone."""
    takes_types = "token_type_ids" in inspect.signature(model.forward).parameters
    outputs = []
    for text in texts:
        types = {"token_type_ids": torch.tensor([text.token_type_ids])} if takes_types else {}
        with torch.inference_mode():
            found = model(input_ids=torch.tensor([text.input_ids]), **types)
        logits = found.logits if "logits" in found else torch.stack([found.start_logits, found.end_logits], dim=-1)
        outputs.append(logits[0].numpy())
    return outputs


@pytest.mark.parametrize("auto_model", TASKS)
@pytest.mark.parametrize("name", ENCODERS)
def test_answers_are_those_of_transformers_as_near_as_bfloat16_is(name, auto_model, texts):
    expected = plain(model_of(name, auto_model), texts)
    rounded_model = plain(model_of(name, auto_model).to(torch.bfloat16).float(), texts)
    found = packed(name, auto_model)(texts)
    assert [output.shape for output in found] == [output.shape for output in expected]
    largest = max(np.abs(output).max() for output in expected)
    differences = [np.abs(a - b).max() / largest for a, b in zip(found, expected, strict=True)]
    weights_alone = max(np.abs(a - b).max() / largest for a, b in zip(rounded_model, expected, strict=True))
    assert max(differences) < 0.03 + 2 * weights_alone
    assert max(differences) > 0, "it computes in bfloat16"


@pytest.mark.parametrize("auto_model", TASKS[:2])
@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.usefixtures("two_lanes")
def test_an_answer_is_the_same_to_the_bit_whatever_else_is_in_the_batch(name, auto_model, texts):
    forward = packed(name, auto_model)
    alone = [forward([text])[0] for text in texts]
    many = [*texts, *reversed(texts)] * 12  # several micro-batches
    for batch in (texts, texts[::-1], texts[3:9], many):
        numbers = [next(n for n, text in enumerate(texts) if text is item) for item in batch]
        for number, output in zip(numbers, forward(batch), strict=True):
            np.testing.assert_array_equal(output, alone[number])


@pytest.mark.parametrize("which", ["none", "gelu", "added"])
@pytest.mark.parametrize("told_by", ["a product", "the answers of the model"])
@pytest.mark.usefixtures("two_lanes")
def test_short_rows_are_filled_up_where_their_products_have_other_bits(which, told_by, texts, monkeypatch):
    really = linears._product

    def product(inputs, *others, activation="none", added=None):
        found = really(inputs, *others, activation=activation, added=added)
        is_meant = which in (activation, "none" if added is None else "added")
        return found * 1.02 if is_meant and len(inputs) % ROW_ROUNDING != 0 else found

    trial = (
        exact_rows.__wrapped__
        if told_by == "a product"
        else lambda *_args, **_options: ExactRows(STEPPED_ROWS, MOST_ROWS, True)
    )
    monkeypatch.setattr(linears, "_product", product)
    monkeypatch.setattr(linears, "exact_rows", trial)
    forward = packed("bert")
    short = [linear.takes_short_rows for linear in forward.forward._linears]
    assert not any(short), "one that cannot decides for all"
    for text, among in zip(texts, forward(texts), strict=True):
        np.testing.assert_array_equal(forward([text])[0], among)


@pytest.mark.parametrize("name", ["bert", "roberta", "electra", "distilbert"])
def test_the_last_layer_is_computed_for_first_tokens_alone(name, texts, monkeypatch):
    forward = packed(name)
    really, rows = linears._product, []

    def product(inputs, *others, **more):
        rows.append(len(inputs))
        return really(inputs, *others, **more)

    monkeypatch.setattr(linears, "_product", product)
    forward(texts[:4])
    few = [count for count in rows if count == min(rows)]
    assert min(rows) < sum(text.num_tokens for text in texts[:4]) <= max(rows)
    assert len(few) >= 4, "queries, what attention and feed-forward are projected to, and the head's own"
    assert len(rows) - len(few) == (5 if name != "electra" else 6), (
        "four of the first layer, keys and values; ELECTRA's embeddings"
    )


@pytest.mark.parametrize("auto_model", TASKS[:2])
@pytest.mark.parametrize(("name", "is_joined"), [("bert", True), ("roberta", True), ("distilbert", False)])
def test_a_model_of_berts_kind_is_computed_part_by_part(name, is_joined, auto_model, texts):
    """That it answers as before is seen when it is put together: else transformers' own forward stays."""
    model = model_of(name, auto_model)
    forward = computing(PackedForward.of(model, pad_id=pad_of(name), max_length=70))
    calls = []
    model.register_forward_hook(lambda *_: calls.append(name))
    forward(texts)
    assert (calls == []) is is_joined


@pytest.mark.parametrize("doubles", ["all", "pairs"])
def test_a_model_with_a_forward_of_its_own_keeps_it(doubles):
    """Its parts have BERT's names, and more is done with them."""
    model = model_of("bert")
    plainly = type(model).forward

    @functools.wraps(plainly)
    def forward(*args, **options):
        found = plainly(model, *args, **options)
        types = options.get("token_type_ids")
        if doubles == "all" or (types is not None and types.any()):
            found.logits = 2 * found.logits
        return found

    pair = EncodedText(input_ids=[*range(5, 35)], token_type_ids=[0] * 10 + [1] * 20, truncated=False)
    [expected] = packed("bert")([pair])
    model.forward = forward
    [found] = computing(PackedForward.of(model, pad_id=0, max_length=70))([pair])
    assert np.array_equal(found, 2 * expected)


def test_wide_layers_whose_sums_depend_on_the_shape_are_cut_into_equal_products():
    """With 3,072 inputs oneDNN orders the sums by the number of rows on CPUs with matrix units; elsewhere nothing is cut."""
    chooser = torch.Generator().manual_seed(1)
    layer = torch.nn.Linear(3072, 768)
    inputs = torch.randn((MOST_ROWS * 2, 3072), generator=chooser).bfloat16()

    def rows(counts):
        linear = PackedLinear({"dense": layer}, threads=2)
        return [linear(inputs[:count]) for count in counts]

    with lanes.by_threads(1):
        outputs = rows((1, 16, 48, 50, ROW_ROUNDING, 80, 200, MOST_ROWS, 2 * MOST_ROWS))
    for output in outputs[:-1]:
        assert torch.equal(output, outputs[-1][: len(output)])
    with torch.no_grad():
        expected = torch.nn.functional.linear(inputs.float(), layer.weight.bfloat16().float(), layer.bias)
    assert float((outputs[-1].float() - expected).abs().max()) < 0.05
    with lanes.by_threads(1):
        assert ROW_ROUNDING <= exact_rows(3072, 768, threads=2).at_once <= MOST_ROWS


@pytest.mark.parametrize("name", ENCODERS)
def test_a_text_alone_is_computed_by_several_threads_to_the_same_bits(name, texts):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = packed(name)(texts)
        torch.set_num_threads(3)
        forward = packed(name)
        assert forward.forward.shares_products, "the kernels of this machine allow it"
        for text, expected in zip(texts, alone, strict=True):
            np.testing.assert_array_equal(forward([text])[0], expected)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("name", ENCODERS)
def test_weights_as_they_were_read_are_let_go(name):
    """One that was kept would hold the whole file in memory that it is a part of."""
    model = model_of(name)
    was = {
        place: weakref.ref(module.weight) for place, module in model.named_modules() if type(module) is torch.nn.Linear
    }
    forward = PackedForward.of(model, pad_id=pad_of(name), max_length=70)
    assert forward is not None
    gc.collect()
    assert [place for place, weight in was.items() if weight() is not None] == []


@pytest.mark.usefixtures("two_lanes")
def test_weights_can_be_replaced_by_those_of_another_step(texts):
    forward = packed("bert")
    before = forward(texts)
    other = model_of("bert")
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2)))
    forward.forward.take_weights(other.state_dict())
    fresh = computing(PackedForward.of(other, pad_id=0, max_length=70))
    for output, expected, old in zip(forward(texts), fresh(texts), before, strict=True):
        np.testing.assert_array_equal(output, expected)
        assert not np.array_equal(output, old)


@pytest.mark.usefixtures("two_lanes")
def test_threads_that_ask_at_a_time_do_not_get_each_others_answers(texts):
    forward = packed("bert")
    alone = [forward([text])[0] for text in texts]
    wrong = []

    def ask(number):
        answers = [forward([texts[number]])[0] for _ in range(20)]
        wrong.extend(number for answer in answers if not np.array_equal(answer, alone[number]))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_a_model_that_answers_otherwise_when_packed_is_not_packed_and_stays_what_it_is(name, texts):
    """Decoders find the last token of a text by its padding, which a packed row has not."""
    model = model_of(name)
    expected = plain(model, texts[:3])
    assert not packs(model, pad_id=0, max_length=70)
    assert PackedForward.of(model, pad_id=0, max_length=70) is None
    for output, right in zip(plain(model, texts[:3]), expected, strict=True):
        np.testing.assert_array_equal(output, right)


def test_asking_whether_a_model_packs_leaves_it_alone(texts):
    model = model_of("bert")
    expected = plain(model, texts)
    assert packs(model, pad_id=0, max_length=70)
    for output, right in zip(plain(model, texts), expected, strict=True):
        np.testing.assert_array_equal(output, right)
    assert {type(part) for part in model.modules() if isinstance(part, torch.nn.Linear)} == {torch.nn.Linear}


def test_attention_meets_few_numbers_of_examples():
    assert [filled_count(count) for count in (1, 2, 3, 4, 5, 8, 9, 17)] == [1, 2, 4, 4, 8, 8, 16, 32]


@pytest.mark.parametrize("name", ["bert", "modernbert"])
@pytest.mark.usefixtures("two_lanes")
def test_scores_that_no_power_of_two_bears_are_attended_carefully(name, texts, monkeypatch):
    forward = packed(name)
    model = model_of(name)
    with torch.no_grad():
        for place, parameter in model.named_parameters():
            if "query" in place or "Wqkv" in place:
                parameter.mul_(2000)
    forward.forward.take_weights(model.state_dict())
    careful = []
    lay_out = forward_module.lay_out
    monkeypatch.setattr(
        forward_module,
        "lay_out",
        lambda *args, **options: (careful.append(options["is_careful"]), lay_out(*args, **options))[1],
    )
    among = forward(texts)
    assert True in careful
    for text, output in zip(texts, among, strict=True):
        assert np.isfinite(output).all()
        np.testing.assert_array_equal(forward([text])[0], output)


def test_every_token_has_its_place():
    layout = lay_out(LENGTHS)
    places = [set(range(start, start + length)) for start, length in zip(layout.starts, LENGTHS, strict=True)]
    assert set.union(*places) == set(range(sum(LENGTHS))), "no two tokens share one, and none is left out"
    assert layout.num_rows == filled_up(sum(LENGTHS), fills_short_rows=True)
    for row, place in enumerate(layout.place_of_row[: sum(LENGTHS)]):
        assert layout.row_of_place[place] == row
    for group in layout.groups:
        rows = layout.row_of_place[group.start : group.stop].view(group.examples, group.length)
        for number, own in enumerate(rows):
            [example] = [n for n, members in enumerate(places) if int(own[0]) in members]
            assert set(own.tolist()) == places[example], "padding takes nothing from another example"
            assert own[: LENGTHS[example]].tolist() == sorted(places[example])
            assert rounded(LENGTHS[example]) == group.length
            if group.bias is not None:
                seen = group.bias[number, 0] == 0
                assert seen.tolist() == [True] * LENGTHS[example] + [False] * (group.length - LENGTHS[example])
    numbers = layout.order.tolist()
    places = layout.place_of_example.tolist()
    assert len(places) == len(layout.first_rows) == layout.num_first_rows == 64
    assert [numbers[place] for place in places[: len(LENGTHS)]] == [*range(len(LENGTHS))]
    assert layout.first_rows[: len(LENGTHS)].tolist() == layout.first.tolist() == layout.starts.tolist()
    [shortest] = [group for group in layout.groups if group.length == 16]
    assert (shortest.examples, sum(length <= 16 for length in LENGTHS)) == (8, 5), "filled up with the first of them"
    assert len(numbers) == sum(group.examples for group in layout.groups)
    assert [lay_out([length], fills_short_rows=False).num_rows for length in (3, 50, 128, 130)] == [16, 64, 128, 192]
    assert lay_out([3, 40], fills_short_rows=False).num_rows == 48
