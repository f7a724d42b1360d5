"""A split as tokens: flat arrays, made once and cached by content."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final

import numpy as np
from safetensors.numpy import load_file, save_file

from app.manifest import CorruptArtefactError, committed_folder, verify
from app.spec.words import Span, first_tokens
from worker.trainer.reporting import log

_LAYOUT: Final = b"tokens-1"
"""Changes with the meaning of the cached arrays, so that old entries are not read as new ones."""

_FILE: Final = "tokens.safetensors"
_FIRST_TOKENS: Final = "words.first_tokens"
_WORD_OFFSETS: Final = "words.offsets"
_CHUNK: Final = 1_000
"""Texts tokenised at once: enough for the tokenizer's threads, little enough that a stop request is seen soon."""


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """Example ``i`` owns ``[offsets[i], offsets[i + 1])`` of every flat array in ``columns``."""

    columns: dict[str, np.ndarray]
    """``input_ids`` (int32) and, where the model has them, ``token_type_ids`` (int32)."""
    offsets: np.ndarray
    """``[examples + 1]``, int64."""
    truncated: np.ndarray
    """``[examples]``, uint8: 1 where tokens were cut off."""
    words: "Words | None" = None
    """Where each word of an example has a label of its own, or each token."""
    labels: np.ndarray | None = None
    """``[words, …]``: where the labels come with the tokens, such as those that stand behind the ``words``'."""
    cut_answers: np.ndarray | None = None
    """``[examples]``, uint8: where the labels are texts of their own, 1 where tokens of one were cut off."""
    windows: "Windows | None" = None
    """Where these are not examples but windows of their contexts."""

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each example."""
        return np.diff(self.offsets)

    def places_of(self, indices: np.ndarray) -> np.ndarray:
        """Where the tokens of these examples are in the flat arrays, one example after the other."""
        lengths = self.lengths[indices]
        starts = np.cumsum(lengths) - lengths
        places: np.ndarray = np.arange(lengths.sum()) + np.repeat(self.offsets[indices] - starts, lengths)
        return places

    def __len__(self) -> int:
        return len(self.offsets) - 1


@dataclass(frozen=True, kw_only=True)
class Words:
    """Example ``i`` owns the words ``[offsets[i], offsets[i + 1])``."""

    first_tokens: np.ndarray
    """``[words]``, int32: number within its example of the token that stands for it; -1: none does."""
    offsets: np.ndarray
    """``[examples + 1]``, int64."""

    def seen(self, indices: np.ndarray) -> "SeenWords":
        """The words of these examples that a token stands for."""
        counts = np.diff(self.offsets)[indices]
        starts = np.cumsum(counts) - counts
        numbers = np.arange(counts.sum()) + np.repeat(self.offsets[indices] - starts, counts)
        is_seen = self.first_tokens[numbers] >= 0
        return SeenWords(
            numbers=numbers[is_seen],
            examples=np.repeat(np.arange(len(indices)), counts)[is_seen],
            tokens=self.first_tokens[numbers[is_seen]].astype(np.int64),
        )


@dataclass(frozen=True, kw_only=True)
class Windows:
    """What the contexts of a split are read in: those of one example stand one behind the other."""

    examples: np.ndarray
    """``[windows]``, int64: the number of the example that each is of."""
    spans: np.ndarray
    """``[tokens, 2]``, int32: where each token is in the context, first character and behind the last; equal: not in it."""


@dataclass(frozen=True, kw_only=True)
class SeenWords:
    """Words of a batch, each array ``[words]``."""

    numbers: np.ndarray
    """In the split."""
    examples: np.ndarray
    """Number of the word's example in the batch."""
    tokens: np.ndarray
    """Number of its token in its example."""


def tokenize(
    tokenizer: Any,
    texts: Sequence[str],
    pairs: Sequence[str] | None,
    *,
    words: Sequence[Sequence[Span]] | None = None,
    max_length: int,
    cache_dir: Path,
) -> Tokens:
    """Tokenise (pairs: longest first to be cut), or read it from the cache. A damaged cache entry is made anew."""
    key = _content_key(tokenizer, texts, pairs, words, max_length=max_length)
    folder = cache_dir / "tokens" / key
    if (cached := _read(folder)) is not None:
        return cached
    tokens = _tokenize(tokenizer, texts, pairs, words, max_length=max_length)
    try:
        with committed_folder(folder, about={"num_examples": len(tokens)}) as temporary:
            arrays = {**tokens.columns, "offsets": tokens.offsets, "truncated": tokens.truncated}
            if tokens.words is not None:
                arrays |= {_FIRST_TOKENS: tokens.words.first_tokens, _WORD_OFFSETS: tokens.words.offsets}
            save_file(arrays, temporary / _FILE)
    except OSError as error:
        # Another job made the same entry meanwhile, or the cache is full: the tokens are here all the same.
        log(f"tokens were not cached: {error}")
    return tokens


def needed_length(splits: Sequence[Tokens], *, limit: int) -> int:
    """``max_length`` for "auto": the longest example, rounded up to a multiple of 8, within the limit."""
    longest = max(int(tokens.lengths.max()) for tokens in splits)
    return min(limit, -(-longest // 8) * 8)


def _tokenize(
    tokenizer: Any,
    texts: Sequence[str],
    pairs: Sequence[str] | None,
    words: Sequence[Sequence[Span]] | None,
    *,
    max_length: int,
) -> Tokens:
    has_types = "token_type_ids" in tokenizer.model_input_names
    columns: dict[str, list[np.ndarray]] = {"input_ids": [], **({"token_type_ids": []} if has_types else {})}
    lengths: list[int] = []
    truncated: list[bool] = []
    found: list[int] = []
    for start in range(0, len(texts), _CHUNK):
        batch = tokenizer(
            list(texts[start : start + _CHUNK]),
            None if pairs is None else list(pairs[start : start + _CHUNK]),
            truncation=True,
            max_length=max_length,
            return_attention_mask=False,
        )
        truncated += [bool(encoding.overflowing) for encoding in batch.encodings]
        lengths += [len(ids) for ids in batch["input_ids"]]
        for name, parts in columns.items():
            parts += [np.asarray(row, dtype=np.int32) for row in batch[name]]
        if words is not None:
            for encoding, spans in zip(batch.encodings, words[start : start + _CHUNK], strict=True):
                found += first_tokens(encoding.offsets, spans)
    return Tokens(
        columns={name: np.concatenate(parts) for name, parts in columns.items()},
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        truncated=np.asarray(truncated, dtype=np.uint8),
        words=None
        if words is None
        else Words(
            first_tokens=np.asarray(found, dtype=np.int32),
            offsets=np.concatenate([[0], np.cumsum([len(spans) for spans in words])]).astype(np.int64),
        ),
    )


def _read(folder: Path) -> Tokens | None:
    if not folder.is_dir():
        return None
    try:
        verify(folder)
    except CorruptArtefactError as error:
        log(f"a damaged cache entry is made anew: {error}")
        _discard(folder)
        return None
    arrays = load_file(folder / _FILE)
    offsets, truncated = arrays.pop("offsets"), arrays.pop("truncated")
    words = None
    if _WORD_OFFSETS in arrays:
        words = Words(first_tokens=arrays.pop(_FIRST_TOKENS), offsets=arrays.pop(_WORD_OFFSETS))
    return Tokens(columns=arrays, offsets=offsets, truncated=truncated, words=words)


def _discard(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink(missing_ok=True)
    folder.rmdir()


def _content_key(
    tokenizer: Any,
    texts: Sequence[str],
    pairs: Sequence[str] | None,
    words: Sequence[Sequence[Span]] | None,
    *,
    max_length: int,
) -> str:
    """Over the texts themselves and the whole tokenizer, so that it holds for files, Hub splits and fractions alike."""
    digest = hashlib.sha256(_LAYOUT)
    digest.update(tokenizer.backend_tokenizer.to_str().encode())
    digest.update(repr((sorted(tokenizer.model_input_names), tokenizer.truncation_side, max_length)).encode())
    for column in (texts, pairs or ()):
        digest.update(f"column of {len(column)}".encode())
        for text in column:
            encoded = text.encode("utf-8", "surrogatepass")
            digest.update(len(encoded).to_bytes(8, "little"))
            digest.update(encoded)
    for spans in words or ():
        digest.update(np.asarray([len(spans), *chain.from_iterable(spans)], dtype=np.int64).data)
    return digest.hexdigest()
