"""Data for text generation: texts to be learned, prompts with their answers, or chats."""

from collections.abc import Mapping
from typing import Final

from app.dataset.columns import TEXTS, candidates, missing_column, only
from app.dataset.profile import ColumnProfile, DatasetProfile
from app.dataset.resolved import ResolvedData, Split, refuse_split_row
from app.dataset.texts import check_texts
from app.errors import InvalidData
from app.spec.base import ProblemType
from app.spec.job import ColumnsSpec, JobSpec

PROBLEM: Final[ProblemType] = "language_modeling"
MESSAGES: Final = ("messages", "conversations", "conversation", "chat")
PROMPTS: Final = (
    ("instruction", "output"), ("instruction", "response"), ("prompt", "completion"), ("prompt", "response"),
    ("prompt", "answer"), ("question", "answer"), ("input", "output"), ("query", "response"),
)  # fmt: skip
"""Names of a prompt's column and of its answer's."""
_NEVER_CLASSES: Final = {"completion", "response", "output"}
CONTEXTS: Final = ("input", "context")
MESSAGE_FIELDS: Final = ("role", "content")


def holds_texts_to_learn(train: DatasetProfile, *, columns: ColumnsSpec) -> bool:
    """Whether there is what a model that generates learns from: chats, or prompts with texts as answers.

    Texts alone may as well have lost their labels: they are learned if ``columns.label`` is null, or the task says so.
    """
    if columns.label is None:
        return True
    if columns.label != "auto" or columns.text != "auto":
        return holds_messages(_column(train, columns.text))
    if any(holds_messages(column) for column in train.columns):
        return True
    pair = _known_pair(train)
    answer = None if pair is None else train.column(pair[1])
    return answer is not None and (answer.values is None or answer.name.lower() in _NEVER_CLASSES)


def resolve_texts(spec: JobSpec, splits: Mapping[Split, DatasetProfile]) -> ResolvedData:
    """Which columns are what, and warnings. Raises InvalidData, as ``resolve`` does."""
    train = splits["train"]
    text, context, answer = _find_columns(train, columns=spec.columns)
    used = [name for name in (text, context, answer) if name is not None]
    warnings = []
    for split, profile in splits.items():
        for name in used:
            if profile.column(name) is None:
                raise missing_column(name, profile, param=f"dataset.{split}", split=split)
            param = f"dataset.{split}" if split != "train" else f"columns.{'label' if name == answer else 'text'}"
            if name == text and holds_messages(train.column(text)):
                _check_messages(profile, name, split=split, param=param)
            elif name == context:
                check_context(profile, name, split=split)
            else:
                warnings += check_texts(profile, name, split=split, param=param)
    return ResolvedData(
        task="text-generation",
        problem_type=PROBLEM,
        text=text,
        text_pair=context,
        label=answer,
        label_names=[],
        label_values=[],
        has_test="test" in splits,
        warnings=warnings,
    )


def _column(train: DatasetProfile, name: str) -> ColumnProfile | None:
    return None if name == "auto" else train.column(name)


def holds_messages(column: ColumnProfile | None) -> bool:
    return column is not None and column.items is not None and all(map(column.items.field, MESSAGE_FIELDS))


def _known_pair(train: DatasetProfile) -> tuple[str, str] | None:
    by_lower = {column.name.lower(): column.name for column in train.columns if column.has("string")}
    return next(((by_lower[a], by_lower[b]) for a, b in PROMPTS if a in by_lower and b in by_lower), None)


def _find_columns(train: DatasetProfile, *, columns: ColumnsSpec) -> tuple[str, str | None, str | None]:
    """Names of the text, prompt or messages; of what the prompt is about; and of the answer."""
    for part in ("text", "text_pair", "label"):
        name = getattr(columns, part)
        if name not in (None, "auto") and train.column(name) is None:
            raise missing_column(name, train, param=f"columns.{part}", split="train")
    text, answer = columns.text, columns.label
    pair = _known_pair(train)
    if text == "auto":
        chats = [column.name for column in train.columns if holds_messages(column)]
        known = [name for name in chats if name.lower() in MESSAGES]
        if chats and answer in (None, "auto"):
            text = only(known or chats, train, param="columns.text", what="the list of messages")
        elif pair and answer in ("auto", pair[1]):
            text = pair[0]
        else:
            names = [column.name for column in candidates(train, taken={answer}) if column.has("string")]
            by_name = [name for name in names if name.lower() in TEXTS]
            text = only(by_name or names, train, param="columns.text", what="the text")
    if answer == "auto":
        answer = pair[1] if pair and pair[0] == text else None
    context = columns.text_pair
    if context == "auto":
        names = [
            c.name for c in candidates(train, taken={text, answer}) if c.name.lower() in CONTEXTS and c.has("string")
        ]
        context = names[0] if names and answer is not None else None
    parts = [name for name in (text, context, answer) if name is not None]
    if len(set(parts)) < len(parts):
        raise InvalidData("One column is given two parts.", param="columns", code="duplicate_column")
    return text, context, answer


def _check_messages(profile: DatasetProfile, name: str, *, split: Split, param: str) -> None:
    """Raise InvalidData for a row whose messages have no role and content. Their order is checked with the chat template."""
    column = profile.column(name)
    assert column is not None
    hint = 'Messages are [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}].'
    for kind, counted in sorted(column.kinds.items(), key=lambda item: item[1].first_row):
        if kind != "list":
            problem = f"has no list of messages in {name!r}"
            raise refuse_split_row(split, counted.first_row, problem, code="invalid_messages", param=param, hint=hint)
    for part in MESSAGE_FIELDS:
        field = column.items.field(part) if column.items is not None else None
        kinds = field.kinds if field is not None else {}
        for kind, counted in sorted(kinds.items(), key=lambda item: item[1].first_row):
            if kind != "string":
                problem = f"has a message without a text as its {part!r} (column {name!r})"
                raise refuse_split_row(
                    split, counted.first_row, problem, code="invalid_messages", param=param, hint=hint
                )


def check_context(profile: DatasetProfile, name: str, *, split: Split) -> None:
    """What a prompt is about may be missing or empty, but is a text."""
    column = profile.column(name)
    assert column is not None
    for kind, counted in sorted(column.kinds.items(), key=lambda item: item[1].first_row):
        if kind not in {"string", "null"}:
            problem = f"has a value of type {kind} in {name!r}, where a text is needed"
            raise refuse_split_row(split, counted.first_row, problem, code="text_not_string", param="columns.text_pair")
