"""What is known of a model without asking it: its own record beside its weights."""

import asyncio
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from app import storage
from app.config import get_settings
from app.errors import InvalidRequest, Unavailable
from app.prediction.client import RETRY_AFTER_SECONDS
from app.prediction.finding import find
from app.prediction.known import ServedModel
from app.prediction.routing import get_client, is_alive
from app.prediction.schemas import MAX_INPUTS
from app.prediction.wire import Pong
from app.spec.serving import SERVING_FILE, Precision, ServingSpec


class EndpointInfo(BaseModel):
    """A model and what may be asked of it, with the names of text-embeddings-inference and text-generation-inference."""

    model_config = ConfigDict(use_attribute_docstrings=True, protected_namespaces=())

    model_id: str
    model_sha: str
    """SHA-256 of its manifest, which holds the hash of each of its files."""
    model_dtype: Precision
    """What the predictor computes it in, as that says once it has loaded the model; before, what it was evaluated in, unless the
    predictor has a GPU, where all are computed in float32."""
    model_pipeline_tag: str
    """What it was tuned for."""
    model_type: dict[str, Any]
    """``{"classifier": {"id2label", "label2id"}}`` of a classifier of texts; else empty."""
    base_model: str
    max_input_length: int | None
    """Tokens to which a text is cut; null where nothing is cut."""
    auto_truncate: bool
    """Longer texts are cut and not refused, unless ``truncate`` is false."""
    max_concurrent_requests: int
    """Texts that may wait in the predictor, of all models together."""
    max_batch_tokens: int
    max_client_batch_size: int
    version: str


async def look_at(reference: str) -> tuple[ServedModel, ServingSpec]:
    """The model that a job id, model id or checkpoint id means, and what it was tuned for.

    Raises as ``app.prediction.finding.find`` does, and Unavailable if its record is damaged.
    """
    served = await find(reference)
    try:
        if storage.remote_store() is None:
            spec = _read_spec(served.folder, served.manifest_sha256)  # a small file, once
        else:
            spec = await asyncio.to_thread(_read_spec, served.folder, served.manifest_sha256)
    except (OSError, ValidationError) as error:
        raise Unavailable(
            f"The stored files of {served.id} are damaged ({SERVING_FILE} cannot be read); it is not served.",
            code="artifact_corrupt",
            hint="Restore its folder from a backup, or train it again.",
        ) from error
    return served, spec


def check_takes_chats(spec: ServingSpec, *, param: str) -> None:
    """Raises InvalidRequest for a model that was not tuned on chats, which would read the messages as text."""
    if spec.prompt_format != "chat":
        raise InvalidRequest(
            "The model was not tuned on chats.", param=param, code="invalid_input", hint="Send a text as inputs."
        )


async def describe(reference: str) -> EndpointInfo:
    """Raises as ``look_at`` does."""
    served, spec = await look_at(reference)
    settings = get_settings()
    is_cut = spec.task in {"text-classification", "token-classification", "text2text-generation"}
    return EndpointInfo(
        model_id=served.id,
        model_sha=served.manifest_sha256,
        model_dtype=await _precision(served, spec),
        model_pipeline_tag=spec.task,
        model_type=_model_type(spec),
        base_model=spec.base_model,
        max_input_length=spec.max_length if is_cut else None,
        auto_truncate=is_cut,
        max_concurrent_requests=settings.predict_queue_size,
        max_batch_tokens=settings.predict_batch_tokens,
        max_client_batch_size=MAX_INPUTS,
        version=version("tunery"),
    )


async def _precision(served: ServedModel, spec: ServingSpec) -> Precision:
    """What its record says is what it could be evaluated in: where it cannot be packed it is served in float32 all the same."""
    if spec.precision == "float32":
        return "float32"
    pong = await get_client().ping(model=served.manifest_sha256)
    return spec.precision if pong is None else precision_by(pong, served.folder.name, evaluated_in=spec.precision)


def precision_by(pong: Pong, name: str, *, evaluated_in: Precision) -> Precision:
    """What the predictor computes the model in a folder of that name in. Only on a CPU it may be packed, which loading shows."""
    if name in pong.precisions:
        return pong.precisions[name]
    return evaluated_in if pong.device in (None, "cpu") else "float32"


async def check_health(reference: str) -> None:
    """Nothing, if the model can be asked. Raises as ``look_at`` does, and Unavailable if the predictor does not answer."""
    await look_at(reference)
    if not await is_alive():
        raise Unavailable(
            "The predictor does not answer just now.",
            code="predictor_unavailable",
            retry_after_seconds=RETRY_AFTER_SECONDS,
        )


@lru_cache(maxsize=256)
def _read_spec(folder: Path, manifest_sha256: str) -> ServingSpec:  # noqa: ARG001  another manifest is another model
    return ServingSpec.model_validate_json(storage.read(folder / SERVING_FILE))


def _model_type(spec: ServingSpec) -> dict[str, Any]:
    if spec.task != "text-classification":
        return {}
    names = {
        "id2label": {str(number): label for number, label in enumerate(spec.labels)},
        "label2id": {label: number for number, label in enumerate(spec.labels)},
    }
    return {"classifier": names}
