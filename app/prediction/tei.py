"""Classifiers asked as clients of text-embeddings-inference ask, whose pairs are lists of two texts."""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, StrictBool, Tag, model_validator

from app.errors import EmptyRequest, InvalidModel, InvalidRequest
from app.prediction import service
from app.prediction.huggingface import Answered
from app.prediction.huggingface_schemas import without_nulls
from app.prediction.schemas import PredictParameters, PredictRequest, Text, TextPair
from app.prediction.serving import look_at

Sequence = Annotated[list[Text], Field(min_length=1, max_length=2)]
"""A text, or a pair."""


def _shape(value: Any) -> str:
    if not isinstance(value, list):
        return "str"
    return "list-batch" if not value or isinstance(value[0], list) else "list-sequence"


TeiInputs = Annotated[
    Annotated[Text, Tag("str")]
    | Annotated[Sequence, Tag("list-sequence")]
    | Annotated[list[Sequence], Tag("list-batch")],
    Discriminator(_shape),
]


class TeiPredictRequest(BaseModel):
    """A text, ``["a", "b"]``: one pair, or ``[["a"], ["b", "c"]]``: a batch of up to 64."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        json_schema_extra={"examples": [{"inputs": [["What a day!"], ["He left.", "He went away."]]}]},
    )

    inputs: TeiInputs
    raw_scores: StrictBool = False
    """The model's logits in place of scores."""
    truncate: StrictBool = True
    """False: refuse a text that is longer than the model reads, and do not cut it."""
    truncation_direction: Literal["Right", "right"] = "Right"
    """Texts are cut at their end, as in training."""

    _drop_nulls = model_validator(mode="before")(without_nulls)


_RAW: Final = PredictParameters(function_to_apply="none")


async def predict(model: str, request: TeiPredictRequest) -> Answered:
    """Labels of every text or pair, best first; of one input not nested.

    Raises as ``app.prediction.service.predict`` does; EmptyRequest for an empty batch, InvalidModel for a model that does
    not classify texts, InvalidRequest for a text that would have to be cut.
    """
    if request.inputs == []:
        raise EmptyRequest("`inputs` cannot be empty.", param="inputs")
    _, spec = await look_at(model)
    if spec.task != "text-classification":
        message = f"{model} was made for {spec.task} and does not classify texts."
        raise InvalidModel(message, param="model", code="model_does_not_classify", hint=f"Ask POST /models/{model}.")
    is_batch = isinstance(request.inputs, list) and isinstance(request.inputs[0], list)
    given: list[Any] = request.inputs if is_batch else [request.inputs]  # type: ignore[assignment]
    question = PredictRequest.model_construct(
        model=model,
        inputs=[_text_or_pair(item) for item in given],
        parameters=_RAW if request.raw_scores else PredictParameters(),
        stream=False,
    )
    _, prediction = await service.predict(question)
    if not request.truncate and True in prediction.truncated:
        place = prediction.truncated.index(True)
        raise InvalidRequest(
            f"`inputs` must have at most {spec.max_length} tokens; number {place} has more.",
            param=f"inputs[{place}]" if is_batch else "inputs",
            code="text_too_long",
            hint="Leave out truncate to have it cut, as in training.",
        )
    rows = [[{"score": score, "label": label} for label, score in row] for row in prediction.predictions]
    return Answered(body=rows if is_batch else rows[0], prediction=prediction)


def _text_or_pair(given: str | list[str]) -> str | TextPair:
    match given:
        case [text, pair]:
            return TextPair(text=text, text_pair=pair)
        case [text]:
            return text
        case _:
            return str(given)
