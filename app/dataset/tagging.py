"""Data for token classification: a list of words with a tag for each, or a text with labelled spans of characters."""

from collections.abc import Mapping
from typing import Final

from app.dataset.columns import TEXTS, candidates, missing_column, only
from app.dataset.labels import Classes, check_names, check_splits, find_classes, nothing_to_learn
from app.dataset.problem import LABEL, check_kinds, label_column
from app.dataset.profile import ColumnProfile, DatasetProfile, Kind
from app.dataset.resolved import ResolvedData, Split, refuse_split_row
from app.dataset.texts import check_texts
from app.errors import InvalidData
from app.spec.base import ProblemType
from app.spec.job import ColumnsSpec, JobSpec

PROBLEM: Final[ProblemType] = "token_classification"
WORDS: Final = ("tokens", "words", "token")
TAGS: Final = ("ner_tags", "tags", "labels", "label", "ner", "pos_tags", "chunk_tags", "upos", "xpos")
"""The first that is there is meant: CoNLL-2003 has three of them, and is known for its names."""
SPANS: Final = ("entities", "spans", "labels", "label", "annotations", "ner")
SPAN_FIELDS: Final = ("start", "end", "label")
_FIELD_KINDS: Final[dict[str, Kind]] = {"start": "integer", "end": "integer", "label": "string"}


def holds_tags(train: DatasetProfile, *, columns: ColumnsSpec) -> bool:
    """Whether there are words with lists of tags, or spans."""
    if columns.label not in (None, "auto"):
        labels = [column] if (column := train.column(columns.label)) else []
    else:
        labels = [c for c in train.columns if c.name.lower() in TAGS or _holds_spans(c)]
    texts = WORDS if columns.text == "auto" else (columns.text.lower(),)
    has_words = any(holds_words(column) and column.name.lower() in texts for column in train.columns)
    if any(column.has("string") and column.name.lower() in TEXTS for column in train.columns):
        uneven = {name for pair in train.uneven_lists for name in pair.columns}  # then they are labels of the text
        labels = [column for column in labels if column.name not in uneven or _holds_spans(column)]
    tagged = has_words and any(column.has("list") and not _holds_words_only(column, texts) for column in labels)
    return tagged or any(map(_holds_spans, labels))


def resolve_tags(spec: JobSpec, splits: Mapping[Split, DatasetProfile]) -> ResolvedData:
    """Columns, tags or kinds of entities, and warnings. Raises InvalidData, as ``resolve`` does."""
    train = splits["train"]
    text, label = _find_columns(train, columns=spec.columns)
    for split, profile in splits.items():
        for name in (text, label):
            if profile.column(name) is None:
                raise missing_column(name, profile, param=f"dataset.{split}", split=split)
    spans = _holds_spans(train.column(label))
    if spans:
        for split, profile in splits.items():
            _check_spans(profile, label, split=split)
    check_kinds(splits, label=label, problem_type=PROBLEM)
    warnings = []
    for split, profile in splits.items():
        param = "columns.text" if split == "train" else f"dataset.{split}"
        if spans:
            warnings += check_texts(profile, text, split=split, param=param)
        else:
            warnings += _check_words(profile, text, split=split, param=param)
            _refuse_uneven(profile, text=text, label=label, split=split)
    names = None if spec.label_names == "auto" else spec.label_names
    if spans:
        classes = _find_kinds(splits, label=label, names=names)
    else:
        classes = find_classes(splits, label=label, problem_type=PROBLEM, label_names=names)
        if classes.names == [str(value) for value in classes.values if isinstance(value, int)]:
            message = "The tags are numbers without names, so that none means O: each word is taken for an entity. Give label_names."
            warnings.append({"code": "tags_without_names", "message": message})
    return ResolvedData(
        task="token-classification",
        problem_type=PROBLEM,
        text=text,
        text_pair=None,
        label=label,
        label_names=classes.names,
        label_values=classes.values,
        spans=spans,
        has_test="test" in splits,
        warnings=warnings + classes.warnings,
    )


def holds_words(column: ColumnProfile | None) -> bool:
    return column is not None and column.items is not None and column.items.has("string")


def _holds_words_only(column: ColumnProfile, texts: tuple[str, ...]) -> bool:
    return column.name.lower() in texts and holds_words(column)


def _holds_spans(column: ColumnProfile | None) -> bool:
    return column is not None and column.items is not None and all(map(column.items.field, SPAN_FIELDS))


def _find_columns(train: DatasetProfile, *, columns: ColumnsSpec) -> tuple[str, str]:
    for part in ("text", "label"):
        name = getattr(columns, part)
        if name not in (None, "auto") and train.column(name) is None:
            raise missing_column(name, train, param=f"columns.{part}", split="train")
    if columns.text_pair not in (None, "auto"):
        raise InvalidData(
            "Token classification takes single texts.", param="columns.text_pair", code="pair_not_supported"
        )
    label = columns.label
    if label in (None, "auto"):
        lists = [c for c in candidates(train, taken={columns.text}) if c.has("list") and c.name.lower() not in WORDS]
        spans, tags = [c.name for c in lists if _holds_spans(c)], [c.name for c in lists if not _holds_spans(c)]
        known = _known(spans, SPANS) or _known(tags, TAGS)
        label = only(known or spans or tags, train, param=LABEL, what="the list of tags or of spans")
    text = columns.text
    if text == "auto" and _holds_spans(train.column(label)):
        names = [c.name for c in candidates(train, taken={label}) if c.has("string")]
        text = only(_known(names, TEXTS) or names, train, param="columns.text", what="the text")
    elif text == "auto":
        names = [c.name for c in candidates(train, taken={label}) if holds_words(c)]
        text = only(_known(names, WORDS) or names, train, param="columns.text", what="the list of words")
    if text == label:
        raise InvalidData(f"The column {text!r} is given two parts.", param="columns", code="duplicate_column")
    return text, label


def _known(names: list[str], known: tuple[str, ...]) -> list[str]:
    """The first of the ``known`` that is there, alone; nothing if none is."""
    by_lower = {name.lower(): name for name in names}
    return [by_lower[name] for name in known if name in by_lower][:1]


def _check_words(profile: DatasetProfile, name: str, *, split: Split, param: str) -> list[dict[str, str]]:
    """Warnings about lists of words. Raises InvalidData if a row has none, or a word is not a text."""
    column = profile.column(name)
    assert column is not None
    for kind, counted in sorted(column.kinds.items(), key=lambda item: item[1].first_row):
        if kind != "list":
            problem = f"has {'nothing' if kind == 'null' else f'a value of type {kind}'} in {name!r}, where a list of words is needed"
            hint = 'A text with spans needs {"start", "end", "label"} objects in the label column.'
            raise refuse_split_row(split, counted.first_row, problem, code="words_not_a_list", param=param, hint=hint)
    words = column.items
    if words is None:
        raise InvalidData(
            f"All lists of words in {name!r} of the {split} split are empty.", param=param, code="no_text"
        )
    for kind, counted in sorted(words.kinds.items(), key=lambda item: item[1].first_row):
        if kind != "string":
            problem = f"has a word of type {kind} in {name!r}, where a text is needed"
            raise refuse_split_row(split, counted.first_row, problem, code="text_not_string", param=param)
    if column.num_empty_lists:
        message = f"{column.num_empty_lists:,} rows of the {split} split have no words in {name!r}."
        return [{"code": "empty_text", "message": message}]
    return []


def _refuse_uneven(profile: DatasetProfile, *, text: str, label: str, split: Split) -> None:
    for uneven in profile.uneven_lists:
        if set(uneven.columns) == {text, label}:
            lengths = dict(zip(uneven.columns, uneven.lengths, strict=True))
            problem = f"has {lengths[text]:,} words in {text!r} but {lengths[label]:,} tags in {label!r}"
            raise refuse_split_row(
                split, uneven.row, problem, code="uneven_tags", param=LABEL, hint="Each word has one tag."
            )


def _check_spans(profile: DatasetProfile, label: str, *, split: Split) -> None:
    """Raise InvalidData for a span without start, end and label of the right kinds. Places are checked with the texts."""
    column = profile.column(label)
    assert column is not None
    if column.items is None:
        return
    for name, expected in _FIELD_KINDS.items():
        field = column.items.field(name)
        kinds = {"null": column.items.kinds["object"]} if field is None else field.kinds
        for kind, counted in sorted(kinds.items(), key=lambda item: item[1].first_row):
            if kind != expected:
                what = "no" if kind == "null" else f"a value of type {kind} as"
                problem = f"has a span with {what} {name!r} (column {label!r})"
                hint = 'A span is {"start": 0, "end": 5, "label": "name"}, in characters from 0, the end not counted.'
                raise refuse_split_row(split, counted.first_row, problem, code="invalid_span", param=LABEL, hint=hint)


def _find_kinds(splits: Mapping[Split, DatasetProfile], *, label: str, names: list[str] | None) -> Classes:
    """The kinds of entities, in order of their names unless given."""
    columns = {split: label_column(profile, label=label, problem_type=PROBLEM) for split, profile in splits.items()}
    if names is not None:
        check_names(names)
    seen = [str(counted.value) for counted in columns["train"].values or ()]
    if not seen:
        raise nothing_to_learn("No row of the train split has a span")
    kinds = sorted(seen) if names is None else list(names)
    check_splits(columns, values=list(kinds))
    return Classes(values=list(kinds), names=kinds, warnings=[])
