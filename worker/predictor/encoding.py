"""A text as the model sees it: tokenised as it was in training, by the task that the model was tuned for."""

from collections.abc import Sequence
from typing import Any

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast
from transformers.tokenization_utils_base import TruncationStrategy
from transformers.utils.generic import PaddingStrategy

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
        self._names_token_types = "token_type_ids" in tokenizer.model_input_names
        self._core = _core(tokenizer)

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
        singles = {index: text for index, (text, pair) in enumerate(pairs) if pair is None}
        doubles = {index: (text, pair) for index, (text, pair) in enumerate(pairs) if pair is not None}
        encoded: dict[int, EncodedText] = {}
        if singles:
            encoded.update(zip(singles, self._tokenize([*singles.values()], None), strict=True))
        if doubles:
            texts, seconds = zip(*doubles.values(), strict=True)
            encoded.update(zip(doubles, self._tokenize([*texts], [*seconds]), strict=True))
        return [encoded[index] for index in range(len(pairs))]

    def _tokenize(self, texts: list[str], seconds: list[str] | None) -> list[EncodedText]:
        if self._core is None:
            return self._tokenize_by_transformers(texts, seconds)
        self._tokenizer.set_truncation_and_padding(
            padding_strategy=PaddingStrategy.DO_NOT_PAD,
            truncation_strategy=TruncationStrategy.LONGEST_FIRST,
            max_length=self._spec.max_length,
            stride=0,
            pad_to_multiple_of=None,
            padding_side=None,
        )
        if self._core.encode_special_tokens != self._tokenizer.split_special_tokens:
            self._core.encode_special_tokens = self._tokenizer.split_special_tokens
        inputs = texts if seconds is None else [*zip(texts, seconds, strict=True)]
        return [
            EncodedText(
                input_ids=item.ids,
                token_type_ids=item.type_ids if self._names_token_types else None,
                truncated=bool(item.overflowing),
            )
            for item in self._core.encode_batch_fast(inputs)  # without offsets
        ]

    def _tokenize_by_transformers(self, texts: list[str], seconds: list[str] | None) -> list[EncodedText]:
        batch = self._tokenizer(
            texts, seconds, truncation=True, max_length=self._spec.max_length, return_attention_mask=False
        )
        ids: list[list[int]] = batch["input_ids"]
        types: list[list[int]] | list[None] = batch.get("token_type_ids") or [None] * len(ids)
        whole = self._tokenizer(texts, seconds, truncation=False, verbose=False)["input_ids"]
        return [
            EncodedText(input_ids=row, token_type_ids=row_types, truncated=len(row) < len(full))
            for row, row_types, full in zip(ids, types, whole, strict=True)
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


def _core(tokenizer: Any) -> Tokenizer | None:
    """What makes the tokens, if transformers does nothing to them: for one short text its way there and back takes a third of the time."""
    kind, plain = type(tokenizer), PreTrainedTokenizerFast
    is_plain = isinstance(tokenizer, plain) and kind._encode_plus is plain._encode_plus  # noqa: SLF001 - what kinds change
    return tokenizer.backend_tokenizer if is_plain and kind.__call__ is plain.__call__ else None
