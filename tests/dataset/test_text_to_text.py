"""Sources with answers for encoder-decoders: which columns are what, and the data that is refused."""

import pytest

from app.dataset import inference
from app.dataset.profiler import profile_rows
from app.errors import InvalidData
from tests.dataset.conftest import spec

TASK = {"task": "text2text-generation"}
CHAT = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}


def resolve(rows, *, is_encoder_decoder=None, **members):
    profiles = {"train": profile_rows(rows)}
    resolved = inference.resolve(spec(**members), profiles, is_encoder_decoder=is_encoder_decoder)
    written = inference.write_back(spec(**members), resolved)
    assert inference.resolve(written, profiles) == resolved
    return resolved


def rows_of(*names):
    return [{name: f"{name} {number}" for name in names} for number in range(3)]


@pytest.mark.parametrize(
    ("names", "columns"),
    [
        (("prompt", "completion"), ("prompt", None, "completion")),
        (("instruction", "input", "output"), ("instruction", "input", "output")),
        (("id", "document", "summary"), ("document", None, "summary")),
        (("Article", "Highlights"), ("Article", None, "Highlights")),
        (("question", "context", "answer"), ("question", "context", "answer")),
        (("source", "target"), ("source", None, "target")),
    ],
)
def test_the_model_tells_the_task_and_the_names_the_columns(names, columns):
    resolved = resolve(rows_of(*names), is_encoder_decoder=True)
    assert (resolved.task, resolved.problem_type) == ("text2text-generation", "sequence_to_sequence")
    assert (resolved.text, resolved.text_pair, resolved.label) == columns
    assert resolve(rows_of(*names), **TASK) == resolved


def test_without_knowing_the_model_prompts_are_for_a_decoder():
    rows = rows_of("prompt", "completion")
    assert [resolve(rows, is_encoder_decoder=known).task for known in (None, False)] == ["text-generation"] * 2


def test_columns_of_any_name_may_be_given():
    columns = {"text": "german", "label": "english", "text_pair": None}
    resolved = resolve(rows_of("german", "english", "context"), columns=columns, **TASK)
    assert (resolved.text, resolved.text_pair, resolved.label) == ("german", None, "english")
    assert resolve(rows_of("body", "headline"), columns={"label": "headline"}, **TASK).text == "body"


def test_what_is_asked_for_by_name_is_not_changed_by_the_model():
    assert resolve([{"text": f"t{n}", "label": n % 2} for n in range(4)], task="text-classification",
                   is_encoder_decoder=True).task == "text-classification"  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "members", "code", "told"),
    [
        ([CHAT, CHAT], {}, "invalid_messages", "holds chats"),
        ([CHAT, CHAT], {"columns": {"text": "messages", "label": "x"}}, "missing_column", "no column 'x'"),
        ([{"text": "a"}, {"text": "b"}], {}, "missing_column", "no column can be the answer"),
        (rows_of("prompt", "completion"), {"columns": {"label": None}}, "missing_column", "columns.label is null"),
        ([{"text": f"t{n}", "label": n} for n in range(3)], {}, "missing_column", "no column can be the answer"),
        (rows_of("source", "target"), {"columns": {"text": "source", "label": "source"}}, "duplicate_column", "two"),
        ([*rows_of("source", "target"), {"source": "x"}], {}, "null_text", "Row 4"),
        ([*rows_of("source", "target"), {"source": "x", "target": 3}], {}, "text_not_string", "Row 4"),
    ],
)
def test_data_without_sources_and_answers_is_refused(rows, members, code, told):
    with pytest.raises(InvalidData, match=told) as refused:
        resolve(rows, **TASK, **members)
    assert refused.value.code == code


def test_a_chat_beside_named_answers_is_refused_by_its_column():
    rows = [CHAT | {"answer": f"a{n}"} for n in range(3)]
    with pytest.raises(InvalidData, match="holds chats") as refused:
        resolve(rows, columns={"text": "messages", "label": "answer"}, **TASK)
    assert refused.value.param == "columns.text"
    assert "text-generation" in refused.value.hint
