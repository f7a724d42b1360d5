"""What Hugging Face's clients send to a model's URL."""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, field_validator, model_validator

from app.prediction.schemas import Inputs, PredictParameters, Text
from app.prediction.wire import Sampling

WRITING: Final = frozenset(Sampling.__struct_fields__)
"""Parameters of text that is generated."""


def without_nulls(value: Any) -> Any:
    """Clients send what was not set as null."""
    return {name: given for name, given in value.items() if given is not None} if isinstance(value, dict) else value


class HuggingFaceParameters(PredictParameters):
    """The parameters of all tasks. Which of them a model takes is said by its task; of some only one value is taken."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    aggregation_strategy: Literal["simple", "first"] | None = None
    """Of a model that tags words; both give whole entities, the tag of a word being that of its first token."""
    ignore_labels: list[Text] | None = None
    """Kinds of entities to leave out. ``O`` must be among them: what is no entity is never told."""
    stop_sequences: (
        Annotated[list[Annotated[Text, Field(min_length=1, max_length=256)]], Field(max_length=16)] | None
    ) = None
    """The old name of ``stop``."""
    return_full_text: StrictBool | None = None
    """Tell the prompt before what comes behind it."""
    details: StrictBool | None = None
    """Tell the tokens, and why the text ended."""
    generate_parameters: PredictParameters | None = None
    """Of an encoder-decoder: parameters of what is generated."""
    truncation: Literal["longest_first", "only_first"] | None = None
    """Of an encoder-decoder; its source is cut in any case."""
    best_of: Literal[1] | None = None
    num_return_sequences: Literal[1] | None = None
    num_beams: Literal[1] | None = None
    watermark: Literal[False] | None = None
    decoder_input_details: Literal[False] | None = None
    frequency_penalty: Annotated[float, Field(ge=0, le=0, strict=True)] | None = None
    typical_p: Annotated[float, Field(ge=1, le=1, strict=True)] | None = None
    align_to_words: Literal[False] | None = None
    """An answer begins and ends where a token does."""

    _drop_nulls = model_validator(mode="before")(without_nulls)

    @field_validator("aggregation_strategy", mode="before")
    @classmethod
    def _whole_entities(cls, value: object) -> object:
        if isinstance(value, str) and value in {"none", "average", "max"}:
            raise ValueError("entities come whole and a word has the tag of its first token: ask for simple or first")
        return value

    @field_validator("ignore_labels")
    @classmethod
    def _nothing_but_entities(cls, value: list[str] | None) -> list[str] | None:
        if value is not None and "O" not in value:
            raise ValueError("must hold 'O': what is no entity is never told")
        return value


NEUTRAL: Final = frozenset({
    "best_of",
    "num_return_sequences",
    "num_beams",
    "watermark",
    "decoder_input_details",
    "frequency_penalty",
    "typical_p",
    "align_to_words",
})  # fmt: skip
"""Those of which one value is taken, which changes nothing."""

_OF_THEIR_TASK: Final[dict[str, frozenset[str]]] = {
    "text-classification": frozenset({"top_k", "function_to_apply", "threshold"}),
    "token-classification": frozenset({"threshold", "aggregation_strategy", "ignore_labels"}),
    "question-answering": frozenset({"top_k", "max_answer_len", "handle_impossible_answer"}),
    "text-generation": WRITING | {"stop_sequences", "return_full_text", "details"},
    "text2text-generation": WRITING | {"stop_sequences", "generate_parameters", "truncation"},
}


def unfit_parameter(parameters: HuggingFaceParameters, task: str) -> str | None:
    """The name of one that a model of that task does not take; False, which asks for nothing, is taken by all."""
    given = parameters.model_dump(exclude_none=True)
    unfit = [name for name in given if name not in _OF_THEIR_TASK[task] | NEUTRAL and given[name] is not False]
    unfit += [f"generate_parameters.{name}" for name in given.get("generate_parameters", ()) if name not in WRITING]
    return unfit[0] if unfit else None


class HuggingFaceRequest(BaseModel):
    """One input or a list of up to 64, as ``huggingface_hub.InferenceClient`` and huggingface.js send them."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        json_schema_extra={"examples": [{"inputs": "The shop opens at nine.", "parameters": {"top_k": 1}}]},
    )

    inputs: Inputs
    parameters: HuggingFaceParameters = HuggingFaceParameters()
    stream: StrictBool = False
    """Tell a text that is generated token by token, as server-sent events."""
    options: dict[str, Any] | None = None
    """Hints such as ``wait_for_model`` and ``use_cache``, which change nothing here."""
    model: Any = None
    """Changes nothing: the path names the model."""

    _drop_nulls = model_validator(mode="before")(without_nulls)
