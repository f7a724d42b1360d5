"""Questions with contexts and answers: when data means that, and the rows that are refused."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.dataset import inference
from app.dataset.profiler import profile_rows
from app.dataset.readers import profile_file, read_rows
from app.errors import InvalidData
from tests.dataset.conftest import jsonl, resolve, spec

CONTEXT = "Ada lives in Rome."
SQUAD = [
    {"id": "1", "title": "Ada", "question": "Where?", "context": CONTEXT, "answers": {"text": ["Rome"], "answer_start": [13]}},
    {"id": "2", "title": "Ada", "question": "Who?", "context": CONTEXT, "answers": {"text": ["Ada", "Ad"], "answer_start": [0, 0]}},
]  # fmt: skip
WITHOUT = {
    "id": "3",
    "title": "Ada",
    "question": "When?",
    "context": CONTEXT,
    "answers": {"text": [], "answer_start": []},
}
LISTS = [
    {"query": "Where?", "passage": CONTEXT, "labels": [{"text": "Rome", "start": 13}]},
    {"query": "When?", "passage": CONTEXT, "labels": []},
]


def test_the_shape_of_squad_is_question_answering():
    resolved = resolve(SQUAD)
    assert (resolved.task, resolved.problem_type) == ("question-answering", "extractive_question_answering")
    assert (resolved.text, resolved.text_pair, resolved.label) == ("question", "context", "answers")
    assert not resolved.may_have_no_answer
    assert resolve([*SQUAD, WITHOUT]).may_have_no_answer


def test_so_are_lists_of_answers_under_other_names():
    resolved = resolve(LISTS)
    assert (resolved.task, resolved.text, resolved.text_pair, resolved.label) == (
        "question-answering", "query", "passage", "labels",
    )  # fmt: skip
    assert resolved.may_have_no_answer


def test_columns_may_be_named():
    rows = [{"q": "Where?", "c": CONTEXT, "other": "x", "found": row["answers"]} for row in SQUAD]
    resolved = resolve(rows, columns={"text": "q", "text_pair": "c"})
    assert (resolved.text, resolved.text_pair, resolved.label) == ("q", "c", "found")
    with pytest.raises(InvalidData, match="not clear which column is the context"):
        resolve(rows)


@pytest.mark.parametrize(
    ("rows", "task"),
    [
        ([{"prompt": "Where?", "context": CONTEXT, "completion": "Rome"}] * 2, "text-generation"),
        ([{"question": "a", "context": "b", "label": number} for number in (0, 1)], "text-classification"),
        ([{"text": CONTEXT, "entities": [{"start": 0, "end": 3, "label": "person", "text": "Ada"}]}] * 2, "token-classification"),
    ],
)  # fmt: skip
def test_other_data_is_not(rows, task):
    assert resolve(rows).task == task


def test_another_label_that_is_named_makes_it_another_task():
    rows = [row | {"is_impossible": number % 2 == 0} for number, row in enumerate([*SQUAD, *SQUAD])]
    columns = {"text": "question", "text_pair": "context", "label": "is_impossible"}
    assert resolve(rows, columns=columns).task == "text-classification"


@pytest.mark.parametrize("rows", [[*SQUAD, WITHOUT], LISTS], ids=["objects", "lists"])
def test_resolving_what_was_written_back_finds_the_same(rows):
    profiles = {"train": profile_rows(rows)}
    first = inference.resolve(spec(), profiles)
    written = inference.write_back(spec(), first)
    assert (written.task, written.label_names) == ("question-answering", [])
    assert inference.resolve(written, profiles) == first
    report = inference.data_report(profiles, first)["splits"]["train"]
    assert report["num_without_answer"] == 1


def test_parquet_and_json_lines_are_read_alike(tmp_path):
    rows = [*SQUAD, WITHOUT]
    answers = pa.struct([("text", pa.list_(pa.string())), ("answer_start", pa.list_(pa.int32()))])
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    table = pa.table(
        {name: pa.array(values, type=answers if name == "answers" else None) for name, values in columns.items()}
    )
    pq.write_table(table, tmp_path / "rows.parquet")
    (tmp_path / "rows.jsonl").write_bytes(jsonl(rows))
    for format_ in ("parquet", "jsonl"):
        path = tmp_path / f"rows.{format_}"
        assert list(read_rows(path, format=format_)) == rows
        resolved = inference.resolve(spec(), {"train": profile_file(path, format=format_)})
        assert (resolved.task, resolved.may_have_no_answer) == ("question-answering", True)


def bad(**changes):
    return [*SQUAD, WITHOUT | changes]


@pytest.mark.parametrize(
    ("rows", "message", "code"),
    [
        (bad(answers=None), "Row 3 of the train split has nothing in 'answers'", "invalid_answer"),
        (bad(answers="Rome"), "Row 3 .* has a value of type string in 'answers'", "invalid_answer"),
        (bad(answers={"text": ["Rome"]}), "Row 3 .* has nothing as 'answer_start'", "invalid_answer"),
        (bad(answers={"text": "Rome", "answer_start": 13}), "Row 3 .* type string as 'text', where a list is needed", "invalid_answer"),
        (bad(answers={"text": {"a": 1}, "answer_start": [13]}), "Row 3 .* a value of type object as 'text'", "invalid_answer"),
        (bad(answers={"text": ["Rome"], "answer_start": ["13"]}), "Row 3 .* a value of type string as its 'answer_start'", "invalid_answer"),
        (bad(answers={"text": [None], "answer_start": [13]}), "Row 3 .* an answer with nothing as its 'text'", "invalid_answer"),
        (bad(context=None), "Row 3 of the train split has no text in 'context'", "null_text"),
        (bad(context=" "), "Row 3 of the train split has an empty context", "no_context"),
        (bad(question=3), "Row 3 .* type integer in 'question'", "text_not_string"),
        ([*LISTS, LISTS[0] | {"labels": [{"text": "Rome"}]}], "Row 3 .* nothing as its 'start'", "invalid_answer"),
        ([*LISTS, LISTS[0] | {"labels": ["Rome"]}], "Row 3 .* a value of type string among its answers", "invalid_answer"),
        ([WITHOUT, WITHOUT], "No question of the train split has an answer", "single_class"),
    ],
)  # fmt: skip
def test_rows_that_cannot_be_answers_are_named(rows, message, code):
    with pytest.raises(InvalidData, match=message) as refused:
        resolve(rows, task="question-answering")
    assert refused.value.code == code


def test_every_split_needs_its_columns():
    rows = [{name: value for name, value in row.items() if name != "context"} for row in SQUAD]
    with pytest.raises(InvalidData, match="validation split has no column 'context'"):
        resolve(SQUAD, validation=rows)
    with pytest.raises(InvalidData, match="needs a question, a context and answers"):
        resolve(SQUAD, task="question-answering", columns={"text_pair": None})


def test_the_task_that_was_asked_for_needs_such_a_column():
    with pytest.raises(InvalidData, match="No column can be the answers"):
        resolve([{"question": "a", "context": "b", "answer": "c"}] * 2, task="question-answering")
