"""How texts, prompts and chats are written for a model that generates: the same in training and when it is asked."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import orjson

from app.spec.base import PromptFormat
from app.spec.words import Span

Messages = list[dict[str, str]]

_INSTRUCTION: Final = "### Instruction:\n{prompt}\n\n### Response:\n"
_CHAT: Final = '{"messages":'
_WITH_CONTEXT: Final = "### Instruction:\n{prompt}\n\n### Input:\n{context}\n\n### Response:\n"


class PromptError(Exception):
    """What is wrong with the messages, such as "has messages that the chat template does not take"."""


def messages_of(text: str, context: str) -> Messages:
    """The chat that a text stands for: the messages themselves, as ``{"messages": …}``, or one of the user."""
    if text.startswith(_CHAT):
        with suppress(orjson.JSONDecodeError, TypeError, KeyError):
            return [{"role": m["role"], "content": m["content"]} for m in orjson.loads(text)["messages"]]
    return [{"role": "user", "content": f"{text}\n\n{context}" if context else text}]


def write_prompt(text: str, context: str | None, *, prompt_format: PromptFormat, tokenizer: Any) -> str:
    """Up to where the answer begins. Raises PromptError."""
    if prompt_format == "chat":
        return _chat(messages_of(text, context or ""), tokenizer, asks=True)
    if prompt_format == "instruction":
        return (_WITH_CONTEXT if context else _INSTRUCTION).format(prompt=text, context=context)
    return f"{text}\n\n{context}" if context else text


def write_example(
    text: str, context: str | None, answer: str | None, *, prompt_format: PromptFormat, tokenizer: Any
) -> tuple[str, list[Span]]:
    """The whole text, and the spans of its characters that the model is to learn. Raises PromptError."""
    if prompt_format == "chat":
        messages = messages_of(text, context or "")
        if answer is not None:
            messages = [*messages, {"role": "assistant", "content": answer}]
        return _learned_chat(messages, tokenizer)
    if answer is None:
        return text, [(0, len(text))]
    prompt = write_prompt(text, context, prompt_format=prompt_format, tokenizer=tokenizer)
    return prompt + answer, [(len(prompt), len(prompt) + len(answer))]


def _learned_chat(messages: Messages, tokenizer: Any) -> tuple[str, list[Span]]:
    """Each turn of the assistant is learned, with the marks that end it."""
    whole = _chat(messages, tokenizer, asks=False)
    spans = []
    for number, message in enumerate(messages):
        if message["role"] == "assistant":
            before = _chat(messages[:number], tokenizer, asks=True)
            behind = _chat(messages[: number + 1], tokenizer, asks=False)
            if not (behind.startswith(before) and whole.startswith(behind)):
                raise PromptError("has a chat whose turns its template writes otherwise once others follow")
            spans.append((len(before), len(behind)))
    if not spans:
        raise PromptError("has a chat without a message of the assistant, which is what is learned")
    return whole, spans


def _chat(messages: Sequence[dict[str, str]], tokenizer: Any, *, asks: bool) -> str:
    try:
        written = tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=asks)
    except Exception as error:  # templates are programs of the model's authors and raise what they like
        raise PromptError(f"has messages that the chat template does not take: {error}") from error
    return str(written)
