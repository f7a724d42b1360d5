"""Which columns of a file hold what a finished model is asked, and whether every row can be asked.

It works on the profile, so that a file that does not fit is refused when the job is submitted.
"""

from dataclasses import dataclass
from typing import Final

from app.dataset.answers import CONTEXTS, QUESTIONS
from app.dataset.columns import TEXTS, candidates, find_texts, listed, only
from app.dataset.generation import MESSAGE_FIELDS, PROMPTS, holds_messages
from app.dataset.profile import ColumnProfile, DatasetProfile
from app.dataset.source import refuse_row
from app.dataset.tagging import WORDS, holds_words
from app.errors import InvalidData
from app.spec.job import ColumnsSpec
from app.spec.prediction import InputColumns
from app.spec.serving import ServingSpec

_TEXT: Final = "columns.text"
_PAIR: Final = "columns.text_pair"


@dataclass(frozen=True, kw_only=True)
class AskedColumns:
    text: str
    text_pair: str | None


def find_inputs(profile: DatasetProfile, *, columns: InputColumns, serving: ServingSpec) -> AskedColumns:
    """The columns that were named, else those that the model was trained on, else those that can be meant.

    Raises InvalidData, naming the column, and the row where there is one: for columns that are missing, that may be several, or
    that the model does not take, and for the first row that has nothing to ask in them.
    """
    for part in ("text", "text_pair"):
        name = getattr(columns, part)
        if name not in (None, "auto") and profile.column(name) is None:
            message = f"The file has no column {name!r}; its columns are {listed(profile)}."
            raise InvalidData(message, param=f"columns.{part}", code="missing_column")
    takes_pairs = len(serving.text_fields) > 1
    if columns.text_pair not in (None, "auto") and not takes_pairs:
        message = f"The model was trained on {serving.text_fields[0]!r} alone, and takes no second text."
        raise InvalidData(message, param=_PAIR, code="pair_not_supported", hint="Leave columns.text_pair out.")
    found = _find(profile, columns=columns, serving=serving)
    if found.text == found.text_pair:
        raise InvalidData(f"The column {found.text!r} is given two parts.", param="columns", code="duplicate_column")
    _check_rows(profile, found, serving=serving)
    return found


def _find(profile: DatasetProfile, *, columns: InputColumns, serving: ServingSpec) -> AskedColumns:
    text, pair = columns.text, columns.text_pair
    trained = [name if profile.column(name) is not None else None for name in serving.text_fields]
    if text == "auto" and trained[0] is not None and trained[0] != pair:
        text = trained[0]
    if pair == "auto" and trained[1:] != [] and trained[-1] != text:
        pair = trained[-1] or "auto"
    if len(trained) == 1:
        pair = None
    if "auto" in (text, pair):
        text, pair = _guess(profile, text=text, pair=pair, serving=serving)
    if serving.task == "question-answering" and pair in (None, "auto"):
        pair = _only_known(profile, CONTEXTS, taken={text}, param=_PAIR, what="the context")
    return AskedColumns(text=text, text_pair=None if pair == "auto" else pair)


def _guess(profile: DatasetProfile, *, text: str, pair: str | None, serving: ServingSpec) -> tuple[str, str | None]:
    """By the names that data sets use; where ``text`` or ``pair`` is no "auto", it stays."""
    known: tuple[str, ...]
    match serving.task:
        case "text-classification":
            return find_texts(profile, columns=ColumnsSpec(text=text, text_pair=pair))
        case "question-answering":
            known, what = QUESTIONS, "the question"
        case "token-classification":
            lists = [column.name for column in candidates(profile, taken=set()) if holds_words(column)]
            if text == "auto" and lists:
                return only(_first(lists, WORDS) or lists, profile, param=_TEXT, what="the list of words"), pair
            known, what = TEXTS, "the text"
        case "text-generation" | "text2text-generation":
            chats = [column.name for column in profile.columns if holds_messages(column)]
            if text == "auto" and chats and serving.task == "text-generation":
                return only(chats, profile, param=_TEXT, what="the list of messages"), None
            known, what = (*(prompt for prompt, _ in PROMPTS), *TEXTS), "the prompt"
    return (_only_known(profile, known, taken={pair}, param=_TEXT, what=what) if text == "auto" else text), pair


def _only_known(
    profile: DatasetProfile, known: tuple[str, ...], *, taken: set[str | None], param: str, what: str
) -> str:
    names = [column.name for column in candidates(profile, taken=taken) if column.has("string")]
    return only(_first(names, known) or names, profile, param=param, what=what)


def _first(names: list[str], known: tuple[str, ...]) -> list[str]:
    """The first of the ``known`` that is there, alone; nothing if none is."""
    by_lower = {name.lower(): name for name in names}
    return [by_lower[name] for name in known if name in by_lower][:1]


def _check_rows(profile: DatasetProfile, found: AskedColumns, *, serving: ServingSpec) -> None:
    text = _column(profile, found.text)
    if serving.task == "text-generation" and holds_messages(text):
        _check_chats(text, serving=serving)
    elif serving.task == "token-classification" and holds_words(text):
        _check_lists(text)
    else:
        _check_texts(text)
    if found.text_pair is not None:
        _check_texts(_column(profile, found.text_pair), may_be_missing=serving.task != "question-answering")


def _column(profile: DatasetProfile, name: str) -> ColumnProfile:
    column = profile.column(name)
    assert column is not None
    return column


def _check_texts(column: ColumnProfile, *, may_be_missing: bool = False) -> None:
    """Raise InvalidData for the first row that has no text in the column; ``may_be_missing``: that is not a text."""
    allowed = {"string", "null"} if may_be_missing else {"string"}
    bad = [(counted.first_row, kind) for kind, counted in column.kinds.items() if kind not in allowed]
    row, kind = min(bad, default=(0, None))
    empty_row = None if may_be_missing else column.first_empty_row
    if kind is None and empty_row is None:
        return
    if kind is None or (empty_row is not None and empty_row < row):
        assert empty_row is not None
        raise refuse_row(
            empty_row, f"has an empty text in {column.name!r} (in all {column.num_empty:,} rows have)", code="empty_text",
            hint="Leave such rows out: there is nothing to ask about them.",
        )  # fmt: skip
    if kind == "null":
        raise refuse_row(row, f"has no text in {column.name!r}", code="null_text")
    raise refuse_row(
        row, f"has a value of type {kind} in {column.name!r}, where a text is needed", code="text_not_string"
    )


def _check_chats(column: ColumnProfile, *, serving: ServingSpec) -> None:
    """Raise InvalidData if the model was not tuned on chats, else for the first row whose messages have no role and content.

    Their order only the chat template can tell.
    """
    if serving.prompt_format != "chat":
        message = f"The column {column.name!r} holds messages, and the model was not tuned on chats."
        hint = "Name a column of texts, or a model that was tuned on chats."
        raise InvalidData(message, param=_TEXT, code="invalid_messages", hint=hint)
    hint = 'Messages are [{"role": "user", "content": "…"}].'
    bad = [(counted.first_row, "no list of messages") for kind, counted in column.kinds.items() if kind != "list"]
    for part in MESSAGE_FIELDS:
        field = None if column.items is None else column.items.field(part)
        kinds = {} if field is None else field.kinds
        bad += [
            (counted.first_row, f"a message without a text as its {part!r}")
            for kind, counted in kinds.items()
            if kind != "string"
        ]
    if bad:
        row, what = min(bad)
        raise refuse_row(row, f"has {what} in {column.name!r}", code="invalid_messages", hint=hint)


def _check_lists(column: ColumnProfile) -> None:
    for kind, counted in sorted(column.kinds.items(), key=lambda item: item[1].first_row):
        if kind != "list":
            problem = f"has {'nothing' if kind == 'null' else f'a value of type {kind}'} in {column.name!r}, where a list of words is needed"
            raise refuse_row(counted.first_row, problem, code="words_not_a_list")
    for kind, counted in column.items.kinds.items() if column.items is not None else ():
        if kind != "string":
            problem = f"has a word of type {kind} in {column.name!r}, where a text is needed"
            raise refuse_row(counted.first_row, problem, code="text_not_string")
