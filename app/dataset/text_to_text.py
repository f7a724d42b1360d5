"""Data for encoder-decoders: a source, and the answer that is to be written from it."""

from collections.abc import Mapping
from typing import Final

from app.dataset.columns import TEXTS, candidates, missing_column, only
from app.dataset.generation import CONTEXTS, PROMPTS, check_context, holds_messages
from app.dataset.profile import DatasetProfile
from app.dataset.resolved import ResolvedData, Split
from app.dataset.texts import check_texts
from app.errors import InvalidData
from app.spec.base import ProblemType
from app.spec.job import ColumnsSpec, JobSpec

PROBLEM: Final[ProblemType] = "sequence_to_sequence"
PAIRS: Final = (
    *PROMPTS, ("document", "summary"), ("article", "highlights"), ("article", "summary"), ("dialogue", "summary"),
    ("text", "summary"), ("source", "target"), ("src", "tgt"), ("input", "target"), ("input_text", "target_text"),
    ("text", "target"),
)  # fmt: skip
"""Names of a source's column and of its answer's."""
_HINT: Final = 'Name them, as in "columns": {"text": "article", "label": "summary"}.'


def resolve_text_to_text(spec: JobSpec, splits: Mapping[Split, DatasetProfile]) -> ResolvedData:
    """Which columns are what, and warnings. Raises InvalidData, as ``resolve`` does."""
    train = splits["train"]
    text, context, answer = _find_columns(train, columns=spec.columns)
    warnings = []
    for split, profile in splits.items():
        for name in (text, context, answer):
            if name is not None and profile.column(name) is None:
                raise missing_column(name, profile, param=f"dataset.{split}", split=split)
        for name, part in ((text, "text"), (answer, "label")):
            param = f"columns.{part}" if split == "train" else f"dataset.{split}"
            warnings += check_texts(profile, name, split=split, param=param)
        if context is not None:
            check_context(profile, context, split=split)
    return ResolvedData(
        task="text2text-generation",
        problem_type=PROBLEM,
        text=text,
        text_pair=context,
        label=answer,
        label_names=[],
        label_values=[],
        has_test="test" in splits,
        warnings=warnings,
    )


def _find_columns(train: DatasetProfile, *, columns: ColumnsSpec) -> tuple[str, str | None, str]:
    """Names of the source, of what comes behind it in the source, and of the answer."""
    for part in ("text", "text_pair", "label"):
        name = getattr(columns, part)
        if name not in (None, "auto") and train.column(name) is None:
            raise missing_column(name, train, param=f"columns.{part}", split="train")
    if columns.label is None:
        raise _no_answers("columns.label is null")
    pair = _known_pair(train, columns=columns)
    _refuse_chats(train, columns=columns, pair=pair)
    text, answer = columns.text, columns.label
    if answer == "auto":
        if pair is None:
            raise _no_answers("no column can be the answer")
        answer = pair[1]
    if text == "auto":
        names = [column.name for column in candidates(train, taken={answer}) if column.has("string")]
        by_name = [name for name in names if name.lower() in TEXTS]
        text = pair[0] if pair else only(by_name or names, train, param="columns.text", what="the source")
    context = columns.text_pair
    if context == "auto":
        others = candidates(train, taken={text, answer})
        context = next((c.name for c in others if c.name.lower() in CONTEXTS and c.has("string")), None)
    if len({text, context, answer}) < 3:
        raise InvalidData("One column is given two parts.", param="columns", code="duplicate_column")
    return text, context, answer


def _known_pair(train: DatasetProfile, *, columns: ColumnsSpec) -> tuple[str, str] | None:
    """The first of ``PAIRS`` that is there and has what ``columns`` names already."""
    by_lower = {column.name.lower(): column.name for column in train.columns if column.has("string")}
    found = [(by_lower[a], by_lower[b]) for a, b in PAIRS if a in by_lower and b in by_lower]
    return next(
        ((a, b) for a, b in found if columns.text in ("auto", a) and columns.label in ("auto", b)),
        None,
    )


def _refuse_chats(train: DatasetProfile, *, columns: ColumnsSpec, pair: tuple[str, str] | None) -> None:
    named = None if columns.text == "auto" else train.column(columns.text)
    chats = [named] if named is not None else train.columns if pair is None and columns.label == "auto" else []
    for column in chats:
        if holds_messages(column):
            raise InvalidData(
                f"{column.name!r} holds chats, and text2text-generation takes a source and one answer in each row.",
                param="columns.text",
                code="invalid_messages",
                hint="Give source and answer columns of their own, or tune a decoder, which learns chats "
                '("task": "text-generation").',
            )


def _no_answers(why: str) -> InvalidData:
    return InvalidData(
        f"text2text-generation learns to write the answer to a source, and {why}.",
        param="columns.label",
        code="missing_column",
        hint=f'{_HINT} Texts without answers are for a decoder ("task": "text-generation").',
    )
