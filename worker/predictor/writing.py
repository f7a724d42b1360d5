"""One text that a model is writing behind a prompt: its tokens, and when it ends."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from app.prediction.wire import Generated, Sampling, Token
from worker.predictor.choosing import Choice, Chooser, choose
from worker.predictor.text_stream import TextStream


@dataclass(frozen=True, kw_only=True)
class Language:
    """What a model's tokens mean."""

    tokenizer: Any
    ends: frozenset[int]
    """Tokens that end a text."""
    special: frozenset[int]
    """Tokens that are no part of a text."""
    limit: int
    """Tokens that the model reads and writes together."""


class Writing:
    """The text behind one prompt. Whoever made it may look at it between two tokens, and call it off."""

    def __init__(
        self, prompt: Sequence[int], sampling: Sampling, *, language: Language, device: torch.device, streams: bool
    ) -> None:
        self.read = list(prompt)
        """The prompt, and all tokens behind it."""
        self.num_prompt = len(self.read)
        self.num_tokens_at_most = min(sampling.max_new_tokens, language.limit - len(prompt))
        self.streams = streams
        """Its text is wanted while it comes, with the probabilities of its tokens."""
        self.chooser = Chooser(sampling, device=device)
        self.finish_reason: Literal["stop", "length"] | None = None
        self.error: Exception | None = None
        self.is_called_off = False
        self.begun_at = math.inf
        """When the model first looked at it, in monotonic seconds."""
        self._language = language
        self._text = TextStream(language.tokenizer, stop=sampling.stop, behind=prompt)
        self._decodes_at_once = streams or bool(sampling.stop)
        self._logprobs: list[float] = []
        self._ends: list[int] = []
        """Where the text stood, in characters, after each token."""
        self._num_given = 0

    @property
    def is_over(self) -> bool:
        return self.finish_reason is not None or self.error is not None or self.is_called_off

    @property
    def num_tokens(self) -> int:
        """Tokens written."""
        return len(self.read) - self.num_prompt

    @property
    def longest(self) -> int:
        """Tokens that it may come to have, its prompt counted."""
        return self.num_prompt + self.num_tokens_at_most

    def take(self, choice: Choice) -> None:
        """Add a token, and end if it is the last."""
        self.read.append(choice.token)
        is_end = choice.token in self._language.ends
        if self._decodes_at_once and not is_end:
            self._text.push(choice.token)
        if is_end or self._text.is_stopped:
            self.finish_reason = "stop"
        elif self.num_tokens >= self.num_tokens_at_most:
            self.finish_reason = "length"
        if self.finish_reason is not None:
            if not self._decodes_at_once:
                self._text.push_all(self.read[self.num_prompt : -1 if is_end else None])
            self._text.finish()
        if self.streams:
            self._logprobs.append(choice.logprob)
            self._ends.append(len(self._text.text))

    def piece(self) -> list[Token]:
        """The tokens whose text is certain by now and was not given before; all together they say ``result().text``."""
        is_last = self.finish_reason is not None
        certain = len(self._text.text) if is_last else self._text.num_safe
        tokens = []
        for place in range(self._num_given, len(self._ends)):
            if self._ends[place] > certain and not is_last:
                break
            start = min(self._ends[place - 1], certain) if place else 0
            number = self.read[self.num_prompt + place]
            tokens.append(
                Token(
                    id=number,
                    text=self._text.text[start : min(self._ends[place], certain)],
                    logprob=self._logprobs[place],
                    special=number in self._language.special,
                )
            )
        self._num_given += len(tokens)
        return tokens

    def result(self) -> Generated:
        """What was written, once it has ended."""
        assert self.finish_reason is not None
        return Generated(text=self._text.text, num_tokens=self.num_tokens, finish_reason=self.finish_reason)


def give(writings: Sequence[Writing], logits: torch.Tensor) -> None:
    """Give every text its next token by its own settings, from its row of ``logits`` ``[rows, vocabulary]``."""
    chosen = choose(
        logits,
        [writing.chooser for writing in writings],
        read=[writing.read for writing in writings],
        wants_logprobs=[writing.streams for writing in writings],
    )
    for writing, choice in zip(writings, chosen, strict=True):
        if isinstance(choice, Choice):
            writing.take(choice)
        else:
            writing.error = choice
