"""Which columns are the texts and the label: as the spec says, else by the names that data sets use."""

from typing import Final

from app.dataset.profile import ColumnProfile, DatasetProfile
from app.errors import InvalidData
from app.spec.job import ColumnsSpec

TEXT_PAIRS: Final = (
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("question", "question2"),
    ("question", "sentence"),
    ("question", "passage"),
    ("question", "context"),
    ("query", "document"),
    ("query", "passage"),
    ("text", "text_pair"),
    ("text1", "text2"),
    ("text_a", "text_b"),
    ("sentence_a", "sentence_b"),
)
TEXTS: Final = (
    "text", "sentence", "review", "content", "comment", "message", "body", "document", "tweet", "sms", "utterance",
    "question", "query", "title", "headline", "description", "prompt", "input", "review_body", "comment_text",
)  # fmt: skip
LABELS: Final = (
    "label", "labels", "class", "target", "category", "intent", "sentiment", "emotion", "topic", "score", "rating",
    "stars", "answer", "is_duplicate", "gold_label", "coarse_label", "fine_label",
)  # fmt: skip
_PREFERRED_LABELS: Final = ("label", "labels")
"""One of these is meant even where there is a second candidate, such as ``label`` beside ``sentiment``."""
IGNORED: Final = frozenset({"idx", "id", "index", "guid", "uid", "__index_level_0__", "unnamed: 0"})


def find_columns(train: DatasetProfile, *, columns: ColumnsSpec) -> tuple[str, str | None, str]:
    """Names of the text, the second text (or None) and the label.

    Raises InvalidData: ``missing_column`` when a named one is not there or none can be meant, ``ambiguous_columns`` when
    several can, ``duplicate_column`` when one column would play two parts.
    """
    for part in ("text", "text_pair", "label"):
        name = getattr(columns, part)
        if name not in (None, "auto") and train.column(name) is None:
            raise missing_column(name, train, param=f"columns.{part}", split="train")
    text, text_pair = find_texts(train, columns=columns)
    label = columns.label if columns.label not in (None, "auto") else _find_label(train, taken={text, text_pair})
    parts = [name for name in (text, text_pair, label) if name is not None]
    if len(set(parts)) < len(parts):
        twice = next(name for name in parts if parts.count(name) > 1)
        raise InvalidData(f"The column {twice!r} is given two parts.", param="columns", code="duplicate_column")
    return text, text_pair, label


def missing_column(name: str, profile: DatasetProfile, *, param: str, split: str) -> InvalidData:
    return InvalidData(
        f"The {split} split has no column {name!r}; its columns are {listed(profile)}.",
        param=param,
        code="missing_column",
    )


def find_texts(train: DatasetProfile, *, columns: ColumnsSpec) -> tuple[str, str | None]:
    """Names of the text and the second text, or None; as ``find_columns``."""
    text, text_pair = columns.text, columns.text_pair
    if text != "auto":
        return text, _partner(text, train) if text_pair == "auto" else text_pair
    names = [column.name for column in candidates(train, taken={columns.label}) if column.has("string")]
    if text_pair not in (None, "auto"):
        first = [a for a, b in TEXT_PAIRS if b == text_pair.lower() and a in map(str.lower, names)]
        options = [name for name in names if name.lower() in first] or [name for name in names if name != text_pair]
        return only(options, train, param="columns.text", what="the text"), text_pair
    return _known_texts(names, train, allow_pairs=text_pair == "auto")


def _known_texts(names: list[str], train: DatasetProfile, *, allow_pairs: bool) -> tuple[str, str | None]:
    """The one known pair or single text among the ``names``; else the only name there is."""
    by_lower = {name.lower(): name for name in names}
    options: list[tuple[str, str | None]] = []
    if allow_pairs:
        options = [(by_lower[a], by_lower[b]) for a, b in TEXT_PAIRS if a in by_lower and b in by_lower]
    paired = {name for pair in options for name in pair}
    options += [(by_lower[name], None) for name in TEXTS if name in by_lower and by_lower[name] not in paired]
    if not options:
        names = [name for name in names if name.lower() not in LABELS]
        return only(names, train, param="columns.text", what="the text"), None
    if len(options) > 1:
        raise _ambiguous(train, param="columns.text", what="the text")
    return options[0]


def _partner(text: str, train: DatasetProfile) -> str | None:
    by_lower = {column.name.lower(): column.name for column in train.columns}
    partners = [by_lower[b] for a, b in TEXT_PAIRS if a == text.lower() and b in by_lower]
    return partners[0] if len(partners) == 1 else None


def _find_label(train: DatasetProfile, *, taken: set[str | None]) -> str:
    names = [column.name for column in candidates(train, taken=taken)]
    for preferred in _PREFERRED_LABELS:
        if preferred in names:
            return preferred
    known = [name for name in names if name.lower() in LABELS]
    return only(known or names, train, param="columns.label", what="the label")


def candidates(train: DatasetProfile, *, taken: set[str | None]) -> list[ColumnProfile]:
    """Columns that may play a part: neither ``taken`` nor a row's number."""
    return [column for column in train.columns if column.name not in taken and column.name.lower() not in IGNORED]


def only(names: list[str], train: DatasetProfile, *, param: str, what: str) -> str:
    if not names:
        raise InvalidData(
            f"No column can be {what}; the columns are {listed(train)}.",
            param=param,
            code="missing_column",
            hint='Texts without labels are for "task": "text-generation".' if what == "the label" else None,
        )
    if len(names) > 1:
        raise _ambiguous(train, param=param, what=what)
    return names[0]


def _ambiguous(train: DatasetProfile, *, param: str, what: str) -> InvalidData:
    return InvalidData(
        f"It is not clear which column is {what}; the columns are {listed(train)}.",
        param=param,
        code="ambiguous_columns",
        hint='Name them, as in "columns": {"text": …, "label": …}.',
    )


def listed(profile: DatasetProfile, *, most: int = 30) -> str:
    names = [repr(column.name) for column in profile.columns]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
