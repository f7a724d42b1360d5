"""Texts to be learned, prompts with answers and chats: when data means that, and the rows that are refused."""

import pytest

from app.dataset import inference
from app.dataset.profiler import profile_rows
from app.errors import InvalidData
from tests.dataset.conftest import resolve, spec

TEXTS = [{"text": "To be, or not to be"}, {"text": "that is the question"}]
PROMPTS = [
    {"instruction": "Add.", "input": "1 and 2", "output": "It makes three."},
    {"instruction": "Name a city.", "input": "", "output": "Rome is one."},
]
CHATS = [
    {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]},
    {"messages": [{"role": "system", "content": "Be kind."}, {"role": "assistant", "content": "Yes"}]},
]


@pytest.mark.parametrize(
    ("rows", "columns"),
    [
        (PROMPTS, ("instruction", "input", "output")),
        ([{"prompt": "a", "completion": "b"}, {"prompt": "c", "completion": "d"}], ("prompt", None, "completion")),
        (CHATS, ("messages", None, None)),
    ],
    ids=["prompts", "completions", "chats"],
)
def test_data_without_labels_is_text_generation(rows, columns):
    resolved = resolve(rows)
    assert (resolved.task, resolved.problem_type) == ("text-generation", "language_modeling")
    assert (resolved.text, resolved.text_pair, resolved.label) == columns
    profiles = {"train": profile_rows(rows)}
    written = inference.write_back(spec(), resolved)
    assert inference.resolve(written, profiles) == resolved
    assert inference.data_report(profiles, resolved)["splits"]["train"]["num_rows"] == 2


def test_texts_alone_are_learned_if_asked_for():
    for asked in ({"columns": {"label": None}}, {"task": "text-generation"}):
        resolved = resolve(TEXTS, **asked)
        assert (resolved.task, resolved.text, resolved.label) == ("text-generation", "text", None)
    with pytest.raises(InvalidData, match="No column can be the label") as refused:
        resolve(TEXTS)
    assert "text-generation" in refused.value.hint


def test_a_text_beside_a_label_can_be_learned_if_asked_for():
    rows = [{"text": "a b", "label": "x"}, {"text": "c d", "label": "y"}]
    assert resolve(rows).task == "text-classification"
    assert resolve(rows, columns={"label": None}).text == "text"
    assert resolve(rows, task="text-generation", columns={"text": "text"}).label is None


def test_questions_with_few_answers_are_classes():
    rows = [{"question": f"Is {n} even?", "answer": ["yes", "no"][n % 2]} for n in range(30)]
    assert resolve(rows).task == "text-classification"


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ([*CHATS, {"messages": "Hi"}], "invalid_messages"),
        ([*CHATS, {"messages": [{"role": "user"}]}], "invalid_messages"),
        ([*CHATS, {"messages": [{"role": "user", "content": 3}]}], "invalid_messages"),
        ([*PROMPTS, {"instruction": "a", "input": 3, "output": "b"}], "text_not_string"),
        ([*PROMPTS, {"instruction": "a", "input": "b"}], "null_text"),
        ([*PROMPTS, {"instruction": None, "input": "b", "output": "c"}], "null_text"),
    ],
)
def test_a_row_that_cannot_be_learned_is_named(rows, code):
    with pytest.raises(InvalidData, match="Row 3 of the train split") as refused:
        resolve(rows)
    assert refused.value.code == code
