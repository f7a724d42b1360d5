"""The messages between the API and the predictor: msgpack over a ZeroMQ ROUTER, one frame each way.

Every message carries the ``request_id`` of its question, unique within its connection. Durations are milliseconds.
"""

from typing import Final, Literal

import msgspec

from app.spec.serving import Precision

MAX_MESSAGE_BYTES: Final = 64 * 2**20

FunctionToApply = Literal["softmax", "sigmoid", "none"]
LabelScore = tuple[str, float]

FailureCode = Literal[
    "artifact_corrupt",  # the model's files are not what was published
    "storage_unavailable",  # the model's files cannot be fetched just now
    "model_load_failed",  # they are, but cannot be served
    "invalid_input",  # the model does not take such an input; ``param`` names it
    "overloaded",  # the queue is full
    "deadline_exceeded",  # nobody waits for it any more
    "shutting_down",
    "prediction_failed",  # the forward itself failed, such as for lack of memory
]


class Entity(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Characters ``[start, end)`` of the text, and what they are."""

    kind: str
    score: float
    text: str
    start: int
    end: int


class FoundAnswer(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Characters ``[start, end)`` of the context; "" from 0 to 0: there is none in it."""

    text: str
    score: float
    start: int
    end: int


class Sampling(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """How a text is generated, with the names of transformers' ``GenerationConfig``."""

    max_new_tokens: int = 256
    do_sample: bool = False
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 50
    repetition_penalty: float = 1.0
    stop: list[str] = []
    seed: int | None = None


class Generated(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    text: str
    num_tokens: int
    finish_reason: Literal["stop", "length"]


class Token(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A token that was generated."""

    id: int
    text: str
    """What it adds to the text: nothing if it is special, or a part of a character that a later one completes."""
    logprob: float
    """Logarithm of its probability by the model itself, whatever the settings."""
    special: bool


class _Message(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag=True):
    request_id: int


class Ping(_Message, frozen=True, kw_only=True):
    pass


class Measure(_Message, frozen=True, kw_only=True):
    """What have you counted?"""


class Predict(_Message, frozen=True, kw_only=True):
    """Answer ``inputs`` with the model in ``folder``, loading it first if need be."""

    model_id: str
    folder: str
    """Absolute path of a sealed folder with ``tunery.json``."""
    manifest_sha256: str
    inputs: list[tuple[str, str | None]]
    """Texts, and second texts of pairs."""
    words: list[list[tuple[int, int]] | None] | None = None
    """For tags of words: the words of each input as characters ``[start, end)``; None: the predictor finds them."""
    timeout_ms: float
    """From receipt; afterwards the answer is not wanted. A duration, because clocks of two machines differ."""
    function_to_apply: FunctionToApply | None = None
    """None: what the model was evaluated with."""
    top_k: int | None = None
    threshold: float | None = None
    """Scores below it are left out."""
    sampling: Sampling | None = None
    """For a model that generates; None: what ``Sampling`` has. Another model refuses it."""
    stream: bool = False
    """Send the text of the one input in Pieces as it comes, and then the Prediction."""
    max_answer_len: int | None = None
    """For a model that finds answers: tokens of the longest; None: as it was evaluated. Another model refuses it."""
    handle_impossible_answer: bool | None = None
    """For a model that finds answers: whether it may say that there is none; None: as it was evaluated."""


class Cancel(_Message, frozen=True, kw_only=True):
    """The question ``request_id`` needs no answer any more."""


class Pong(_Message, frozen=True, kw_only=True):
    pid: int
    models: list[str]
    """Ids of the loaded models, least recently used first."""
    num_loads: int
    """Models loaded since the process began."""
    num_waiting: int
    """Texts in the queue."""
    num_generating: int
    """Texts that are being generated."""
    num_base_loads: int = 0
    """Base models loaded, each for any number of adapters."""
    precisions: dict[str, Precision] = {}
    """By the name of a loaded model's folder: what it is computed in."""
    device: str | None = None
    """The kind of device that models are loaded on, such as "cuda"; None while that is not known."""


class Measured(_Message, frozen=True, kw_only=True):
    text: str
    """In Prometheus' text format."""


class Prediction(_Message, frozen=True, kw_only=True):
    """By input: scores of labels, best first, the entities in it, the text that was generated, or answers, best first."""

    predictions: list[list[LabelScore]]
    entities: list[list[Entity]]
    texts: list[Generated]
    answers: list[list[FoundAnswer]] = []
    """All of the four lists but one are empty."""
    num_tokens: int
    truncated: list[bool]
    tokenization_ms: float
    queue_ms: float
    """From receipt to the first forward, tokenisation left out; loading of the model counted."""
    inference_ms: float
    """From there until its own texts were computed, whoever shared the forward."""


class Piece(_Message, frozen=True, kw_only=True):
    """Some tokens more of a text that was asked for as a stream; those of all pieces together say the text."""

    tokens: list[Token]


class Failure(_Message, frozen=True, kw_only=True):
    code: FailureCode
    message: str
    param: str | None = None


Question = Ping | Measure | Predict | Cancel
Answer = Pong | Measured | Piece | Prediction | Failure

encode: Final = msgspec.msgpack.Encoder().encode
decode_question: Final = msgspec.msgpack.Decoder(Question).decode
decode_answer: Final = msgspec.msgpack.Decoder(Answer).decode
