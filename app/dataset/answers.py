"""Data for question answering: questions, contexts, and answers that stand in them, in the shape of SQuAD."""

from collections.abc import Iterator, Mapping
from typing import Final

from app.dataset.columns import candidates, missing_column, only
from app.dataset.labels import nothing_to_learn
from app.dataset.problem import LABEL
from app.dataset.profile import ColumnProfile, DatasetProfile, Kind
from app.dataset.resolved import ResolvedData, Split, refuse_split_row
from app.dataset.texts import check_texts
from app.errors import InvalidData
from app.spec.base import ProblemType
from app.spec.job import ColumnsSpec, JobSpec

PROBLEM: Final[ProblemType] = "extractive_question_answering"
QUESTIONS: Final = ("question", "query")
CONTEXTS: Final = ("context", "passage", "paragraph", "document", "text")
ANSWERS: Final = ("answers", "answer", "label", "labels")
TEXT: Final = "text"
STARTS: Final = ("answer_start", "start")
"""What the first character of an answer is called, in the order in which it is looked for."""
_HINT: Final = (
    'Answers are {"text": ["Rome"], "answer_start": [17]}, characters counted from 0; of a question without one both lists '
    "are empty."
)


def holds_answers(train: DatasetProfile, *, columns: ColumnsSpec) -> bool:
    """Whether there is a column of answers with their places, and texts for the question and the context."""
    if columns.label is None or columns.text_pair is None:
        return False
    labels = train.columns if columns.label == "auto" else [train.column(columns.label)]
    num_texts = sum(column.has("string") for column in train.columns)
    return num_texts >= 2 and any(column is not None and _has_places(column) for column in labels)


def resolve_answers(spec: JobSpec, splits: Mapping[Split, DatasetProfile]) -> ResolvedData:
    """Which columns are what, and warnings. Raises InvalidData, as ``resolve`` does.

    Whether an answer stands where it is said to is checked when rows are read.
    """
    question, context, answers = _find_columns(splits["train"], columns=spec.columns)
    warnings = []
    for split, profile in splits.items():
        for name in (question, context, answers):
            if profile.column(name) is None:
                raise missing_column(name, profile, param=f"dataset.{split}", split=split)
        for name, param in ((question, "columns.text"), (context, "columns.text_pair")):
            warnings += check_texts(profile, name, split=split, param=param if split == "train" else f"dataset.{split}")
        _refuse_empty(profile, context, split=split)
        _check_answers(profile, answers, split=split)
    without = num_without_answer(splits["train"], answers)
    if without == splits["train"].num_rows:
        raise nothing_to_learn("No question of the train split has an answer")
    return ResolvedData(
        task="question-answering",
        problem_type=PROBLEM,
        text=question,
        text_pair=context,
        label=answers,
        label_names=[],
        label_values=[],
        may_have_no_answer=without > 0,
        has_test="test" in splits,
        warnings=warnings,
    )


def num_without_answer(profile: DatasetProfile, answers: str) -> int:
    """Questions whose lists of answers are empty."""
    column = profile.column(answers)
    if column is None:
        return 0
    texts = column.field(TEXT)
    return column.num_empty_lists + (0 if texts is None or column.items is not None else texts.num_empty_lists)


def _has_places(column: ColumnProfile) -> bool:
    """Whether its objects, or those in its lists, have a text and where it begins."""
    objects = column if column.items is None else column.items
    return objects.field(TEXT) is not None and any(objects.field(name) is not None for name in STARTS)


def _find_columns(train: DatasetProfile, *, columns: ColumnsSpec) -> tuple[str, str, str]:
    """Names of the question, the context and the answers."""
    for part in ("text", "text_pair", "label"):
        name = getattr(columns, part)
        if name not in (None, "auto") and train.column(name) is None:
            raise missing_column(name, train, param=f"columns.{part}", split="train")
    if columns.text_pair is None or columns.label is None:
        param = "columns.text_pair" if columns.text_pair is None else LABEL
        raise InvalidData(
            "Question answering needs a question, a context and answers.", param=param, code="missing_column"
        )
    answers = columns.label
    if answers == "auto":
        found = [c.name for c in candidates(train, taken={columns.text, columns.text_pair}) if _has_places(c)]
        answers = only(_known(found, ANSWERS) or found, train, param=LABEL, what="the answers")
    context = columns.text_pair
    if context == "auto":
        names = [c.name for c in candidates(train, taken={columns.text, answers}) if c.has("string")]
        context = only(_known(names, CONTEXTS) or names, train, param="columns.text_pair", what="the context")
    question = columns.text
    if question == "auto":
        names = [c.name for c in candidates(train, taken={context, answers}) if c.has("string")]
        question = only(_known(names, QUESTIONS) or names, train, param="columns.text", what="the question")
    if len({question, context, answers}) < 3:
        raise InvalidData("One column is given two parts.", param="columns", code="duplicate_column")
    return question, context, answers


def _known(names: list[str], known: tuple[str, ...]) -> list[str]:
    """The first of the ``known`` that is there, alone; nothing if none is."""
    by_lower = {name.lower(): name for name in names}
    return [by_lower[name] for name in known if name in by_lower][:1]


def _refuse_empty(profile: DatasetProfile, context: str, *, split: Split) -> None:
    column = profile.column(context)
    if column is not None and column.first_empty_row is not None:
        problem = f"has an empty context in {context!r}"
        raise refuse_split_row(split, column.first_empty_row, problem, code="no_context", param="columns.text_pair")


def _check_answers(profile: DatasetProfile, name: str, *, split: Split) -> None:
    """Raise InvalidData for the first row whose answers are not texts with places."""
    column = profile.column(name)
    assert column is not None
    wrong = [
        (counted.first_row, f"has {_told(kind)} in {name!r}, where answers are needed")
        for kind, counted in column.kinds.items()
        if kind not in {"object", "list"}
    ]
    wrong += _wrong_fields(column, name, lists=True) if column.has("object") else []
    if column.items is not None:
        wrong += [
            (counted.first_row, f"has {_told(kind)} among its answers (column {name!r})")
            for kind, counted in column.items.kinds.items()
            if kind != "object"
        ]
        wrong += _wrong_fields(column.items, name, lists=False) if column.items.has("object") else []
    if wrong:
        row, problem = min(wrong, key=lambda item: item[0])
        raise refuse_split_row(split, row, problem, code="invalid_answer", param=LABEL, hint=_HINT)


def _wrong_fields(objects: ColumnProfile, name: str, *, lists: bool) -> Iterator[tuple[int, str]]:
    """By the first row of each kind: what is wrong with a field, which holds one value for each answer, or a list of them."""
    start = next((known for known in STARTS if objects.field(known) is not None), STARTS[0])
    expected: tuple[tuple[str, Kind], ...] = ((TEXT, "string"), (start, "integer"))
    for field_name, kind in expected:
        field = objects.field(field_name)
        if field is None:
            yield objects.kinds["object"].first_row, f"has answers without {field_name!r} (column {name!r})"
            continue
        if lists:
            for found, counted in field.kinds.items():
                if found != "list":
                    yield (
                        counted.first_row,
                        f"has {_told(found)} as {field_name!r}, where a list is needed (column {name!r})",
                    )
        values = field.items if lists else field
        for found, counted in values.kinds.items() if values is not None else ():
            if found != kind:
                yield counted.first_row, f"has an answer with {_told(found)} as its {field_name!r} (column {name!r})"


def _told(kind: Kind) -> str:
    return "nothing" if kind == "null" else f"a value of type {kind}"
