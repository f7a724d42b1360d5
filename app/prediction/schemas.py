"""The body of ``POST /predict`` and its answer."""

from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    FiniteFloat,
    StrictBool,
    StrictInt,
    StrictStr,
    Tag,
)

from app.prediction.wire import FunctionToApply

MAX_INPUTS: Final = 64


def _encodable(value: str) -> str:
    """JSON can write half a surrogate pair, which is no character and cannot be sent on."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("is not valid Unicode: it holds half of a surrogate pair") from None
    return value


Text = Annotated[StrictStr, AfterValidator(_encodable)]


class TextPair(BaseModel):
    """A text, and for models trained on pairs its second text."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    text: Text
    text_pair: Text | None = None


class QuestionInContext(BaseModel):
    """A question, and the text that its answer stands in: ``text`` and ``text_pair`` by the names of question answering."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    question: Text
    context: Text


class ChatMessage(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    role: Annotated[Text, Field(min_length=1, max_length=64)]
    content: Text


class Chat(BaseModel):
    """The messages so far, for models that were tuned on chats."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=1000)]


class TokenizedText(BaseModel):
    """The words of a text, for models that tag words."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    tokens: Annotated[list[Text], Field(min_length=1, max_length=100_000)]
    """Answered as they are; of a plain text the model finds the words itself. Places are those in ``" ".join(tokens)``."""


def _shape_of_one(value: Any) -> str:
    if isinstance(value, TokenizedText) or (isinstance(value, dict) and "tokens" in value):
        return "dict-tokens"
    if isinstance(value, Chat) or (isinstance(value, dict) and "messages" in value):
        return "dict-messages"
    if isinstance(value, QuestionInContext) or (
        isinstance(value, dict) and not {"question", "context"}.isdisjoint(value)
    ):
        return "dict-question"
    return "dict" if isinstance(value, dict | TextPair) else "str"


def _shape(value: Any) -> str:
    return "list" if isinstance(value, list) else _shape_of_one(value)


# Told apart by shape, so that an error names the one thing that is wrong and not every branch of the union.
Input = Annotated[
    Annotated[Text, Tag("str")]
    | Annotated[TextPair, Tag("dict")]
    | Annotated[QuestionInContext, Tag("dict-question")]
    | Annotated[TokenizedText, Tag("dict-tokens")]
    | Annotated[Chat, Tag("dict-messages")],
    Discriminator(_shape_of_one),
]
Inputs = Annotated[
    Annotated[Text, Tag("str")]
    | Annotated[TextPair, Tag("dict")]
    | Annotated[QuestionInContext, Tag("dict-question")]
    | Annotated[TokenizedText, Tag("dict-tokens")]
    | Annotated[Chat, Tag("dict-messages")]
    # The upper bound is checked by the service, which has a code for it.
    | Annotated[list[Input], Field(min_length=1, json_schema_extra={"maxItems": MAX_INPUTS}), Tag("list")],
    Discriminator(_shape),
]


class PredictParameters(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    top_k: Annotated[StrictInt, Field(ge=1, le=1_000_000)] | None = None
    """Only the best so many labels; unset: all. Of a model that generates, the tokens to choose from; unset: 50. Of answers
    in a context, so many; unset: 1."""
    function_to_apply: FunctionToApply | None = None
    """What makes scores of the model's logits; none: the logits themselves. Unset: softmax for one class a text, sigmoid
    for several labels, none for regression."""
    max_new_tokens: Annotated[StrictInt, Field(ge=1, le=100_000)] | None = None
    """Tokens after which a generated text ends; unset: 256. All from here on are for models that generate."""
    do_sample: StrictBool | None = None
    """Draw tokens by their probability; unset: take the most probable one each time."""
    temperature: Annotated[FiniteFloat, Field(gt=0, le=100)] | None = None
    """Below 1 the probable tokens become more probable. Needs ``do_sample``, as ``top_p`` and ``top_k`` do."""
    top_p: Annotated[FiniteFloat, Field(gt=0, le=1)] | None = None
    """Choose among the most probable tokens that have so much probability together."""
    repetition_penalty: Annotated[FiniteFloat, Field(gt=0, le=100)] | None = None
    """Above 1, tokens that were there already become less probable."""
    stop: Annotated[list[Annotated[Text, Field(min_length=1, max_length=256)]], Field(max_length=16)] | None = None
    """Texts before which a generated text ends."""
    seed: Annotated[StrictInt, Field(ge=0, le=2**63 - 1)] | None = None
    """The same seed, prompt and settings draw the same text."""
    threshold: FiniteFloat | None = None
    """Leave out labels, or entities, whose score is below. Where a text may have several labels, 0.5 leaves those that it
    has."""
    max_answer_len: Annotated[StrictInt, Field(ge=1, le=1_000)] | None = None
    """Tokens of the longest answer that is looked for in a context; unset: 30, as in evaluation."""
    handle_impossible_answer: StrictBool | None = None
    """Whether a context may be said to hold no answer: the answer "" from 0 to 0. Unset: true for a model that was shown
    questions without an answer."""


class PredictRequest(BaseModel):
    """One text, one pair or the words of one, or a list of up to 64 of them, for one finished model."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        json_schema_extra={
            "examples": [
                {"model": "ftjob-0190…", "inputs": [{"text": "He left.", "text_pair": "He went away."}, "Hello"]}
            ]
        },
    )

    model: Annotated[Text, Field(min_length=1, max_length=320)]
    """Id of a succeeded job (``ftjob-…``), of a finished model (``ft:…``) or of its checkpoint (``ft:…:ckpt-step-80``)."""
    inputs: Inputs
    parameters: PredictParameters = PredictParameters()
    stream: StrictBool = False
    """Answer with the text of the one input as it comes, as server-sent events; for models that generate."""


class LabelScore(BaseModel):
    label: str
    score: float


class EntityGroup(BaseModel):
    """An entity that was found, with the names of transformers' token-classification pipeline."""

    entity_group: str
    """What it is."""
    score: float
    """The mean of the scores that its words' tags have."""
    word: str
    """Its text."""
    start: int
    """Its first character."""
    end: int
    """The character behind its last."""


class GeneratedText(BaseModel):
    generated_text: str
    """What comes behind the prompt."""
    num_tokens: int
    finish_reason: Literal["stop", "length"]
    """``stop``: the model ended it, or one of ``stop`` came up; ``length``: there was no room for more."""


class ContextAnswer(BaseModel):
    """An answer that stands in the context, with the names of transformers' question-answering pipeline."""

    answer: str
    """Its text; empty: there is none in the context."""
    score: float
    """The probability of its start times that of its end."""
    start: int
    """Its first character in the context."""
    end: int
    """The character behind its last."""


class TokenOut(BaseModel):
    id: int
    text: str
    """What it adds to the text; empty for a special token, and for a part of a character that a later token completes."""
    logprob: float
    """Logarithm of its probability by the model itself, whatever the settings."""
    special: bool


class TextPiece(BaseModel):
    """Data of an event of a stream: what came since the event before."""

    text: str
    tokens: list[TokenOut]


class Usage(BaseModel):
    tokens: int
    """Tokens that the model read, special ones counted, padding not."""
    truncated: list[bool]
    """By input: whether it was cut to the model's ``max_length``; never a context, which is read in windows."""


class Timings(BaseModel):
    """Milliseconds in the predictor. A cold model's loading counts as queueing."""

    queue_ms: float
    inference_ms: float


class PredictResponse(BaseModel):
    model: str
    """Id of the model that answered."""
    predictions: (
        list[list[LabelScore]] | list[list[EntityGroup]] | list[list[GeneratedText]] | list[list[ContextAnswer]]
    )
    """By input: the scores of labels, best first, the entities in the order of the text, a text that was generated, or the
    answers in a context, best first."""
    usage: Usage
    timings: Timings
