"""A text as the model sees it: tokenised as it was in training, by the task that the model was tuned for."""

from collections.abc import Sequence
from typing import Any

from app.spec.serving import ServingSpec
from app.spec.words import Span, first_tokens, split_words
from worker.predictor.encoded import EncodedText
from worker.predictor.encoder_decoder import source_text
from worker.predictor.loading import GENERATING
from worker.predictor.prompts import write_prompt
from worker.predictor.windows import encode_questions

TextPair = tuple[str, str | None]
"""A text, and the second text of a pair where there is one."""


class TextEncoder:
    """Of one model. For use by one thread at a time, as tokenizers are."""

    def __init__(self, spec: ServingSpec, tokenizer: Any, *, takes_token_types: bool) -> None:
        self._spec, self._tokenizer, self._takes_token_types = spec, tokenizer, takes_token_types

    def encode(
        self, pairs: Sequence[TextPair], *, words: Sequence[list[Span] | None] | None = None
    ) -> list[EncodedText]:
        """Tokenise as the model was trained, cut to its ``max_length`` (longest text of a pair first).

        ``words`` are those of each text, for a model that tags them; where there are none they are found.
        """
        if self._spec.task == "text2text-generation":
            return self._tokenize([source_text(text, pair) for text, pair in pairs], None)
        if self._spec.task in GENERATING:
            return [self._encode_prompt(text, pair) for text, pair in pairs]
        if self._spec.task == "question-answering":
            return self._encode_questions(pairs)
        if self._spec.task == "token-classification":
            given = words or [None] * len(pairs)
            return self._tokenize_words([text for text, _ in pairs], given)
        encoded: dict[int, EncodedText] = {}
        singles = [index for index, (_, pair) in enumerate(pairs) if pair is None]
        doubles = [index for index, (_, pair) in enumerate(pairs) if pair is not None]
        for indices in (singles, doubles):
            if indices:
                texts = [pairs[index][0] for index in indices]
                seconds = None if indices is singles else [pairs[index][1] for index in indices]
                encoded.update(zip(indices, self._tokenize(texts, seconds), strict=True))
        return [encoded[index] for index in range(len(pairs))]

    def _tokenize(self, texts: list[str], seconds: Sequence[str | None] | None) -> list[EncodedText]:
        options = {"truncation": True, "max_length": self._spec.max_length, "return_attention_mask": False}
        batch = self._tokenizer(texts, seconds, **options)
        ids: list[list[int]] = batch["input_ids"]
        types: list[list[int]] | list[None] = batch.get("token_type_ids") or [None] * len(ids)
        if self._tokenizer.is_fast:
            truncated = [bool(encoding.overflowing) for encoding in batch.encodings]
        else:
            whole = self._tokenizer(texts, seconds, truncation=False, verbose=False)["input_ids"]
            truncated = [len(cut) < len(full) for cut, full in zip(ids, whole, strict=True)]
        return [
            EncodedText(input_ids=row, token_type_ids=row_types, truncated=cut)
            for row, row_types, cut in zip(ids, types, truncated, strict=True)
        ]

    def _encode_questions(self, pairs: Sequence[TextPair]) -> list[EncodedText]:
        return encode_questions(
            self._tokenizer,
            [(question, context or "") for question, context in pairs],
            max_length=self._spec.max_length,
            doc_stride=self._spec.doc_stride or 0,
        )

    def _encode_prompt(self, text: str, context: str | None) -> EncodedText:
        """A prompt as those of training were written, whole. Raises ValueError for a chat that its template does not take."""
        written = self._spec.prompt_format or "plain"
        prompt = write_prompt(text, context, prompt_format=written, tokenizer=self._tokenizer)
        ids = self._tokenizer(prompt, add_special_tokens=written != "chat", return_attention_mask=False)["input_ids"]
        return EncodedText(input_ids=ids or [self._tokenizer.bos_token_id or 0], token_type_ids=None, truncated=False)

    def _tokenize_words(self, texts: list[str], words: Sequence[list[Span] | None]) -> list[EncodedText]:
        return [
            EncodedText(
                input_ids=item.ids,
                token_type_ids=item.type_ids if self._takes_token_types else None,
                truncated=bool(item.overflowing),
                words=(spans := split_words(text) if given is None else given),
                first_tokens=first_tokens(item.offsets, spans),
            )
            for text, given, item in zip(
                texts,
                words,
                self._tokenizer(texts, truncation=True, max_length=self._spec.max_length).encodings,
                strict=True,
            )
        ]
