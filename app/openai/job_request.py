"""What OpenAI's clients ask for with ``fine_tuning.jobs.create``, as the ``JobSpec`` that it means.

What else ``JobSpec`` has stands beside their parameters: the clients merge ``extra_body`` into the body.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictInt

from app.errors import InvalidRequest
from app.spec.base import Auto
from app.spec.job import FILE_ID, JobSpec

SUPERVISED: Final = "supervised"
_UNFIT: Final = re.compile(r"[^A-Za-z0-9_]+")


def _file_id(value: str) -> str:
    if not FILE_ID.fullmatch(value):
        raise ValueError("must be the id of an uploaded file (file-…)")
    return value


FileId = Annotated[str, AfterValidator(_file_id)]


class Hyperparameters(BaseModel):
    """``"auto"`` is left to the recipe, as what is left out is."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    n_epochs: Annotated[float, Field(gt=0, strict=True)] | Auto | None = None
    batch_size: StrictInt | Auto | None = None
    learning_rate_multiplier: Annotated[float, Field(gt=0, strict=True)] | Auto | None = None


class SupervisedMethod(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    hyperparameters: Hyperparameters | None = None


class Method(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["supervised", "dpo", "reinforcement"]
    supervised: SupervisedMethod | None = None
    dpo: Any = None
    reinforcement: Any = None


class FineTuningRequest(BaseModel):
    """OpenAI's parameters; all others must be fields of a job of ``POST /jobs``, and are refused by it if not."""

    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=())

    model: str
    training_file: FileId
    validation_file: FileId | None = None
    suffix: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    seed: Annotated[StrictInt, Field(ge=0, le=2**31 - 1)] | None = None
    metadata: dict[str, str] | None = None
    method: Method | None = None
    hyperparameters: Hyperparameters | None = None
    integrations: list[Any] | None = None


IN_OPENAIS_WORDS: Final = {
    "dataset.train": "training_file",
    "dataset.validation": "validation_file",
    "training.seed": "seed",
    "training.num_train_epochs": "hyperparameters.n_epochs",
    "training.per_device_train_batch_size": "hyperparameters.batch_size",
    "training.learning_rate_multiplier": "hyperparameters.learning_rate_multiplier",
}
"""By the parameter that an error of ``JobSpec`` names: what a client of this surface has sent it as."""


def job_spec(request: FineTuningRequest) -> JobSpec:
    """The job that is asked for, with no more set than was sent.

    Raises InvalidRequest for what there is not here, and for what was sent twice; pydantic's ValidationError as ``JobSpec``.
    """
    _refuse_what_is_not_done(request)
    fields = dict(request.model_extra or {})
    files = {"train": request.training_file, "validation": request.validation_file}
    fields["dataset"] = _joined(fields.get("dataset"), files, name="dataset")
    training = {"seed": request.seed, **_training(_hyperparameters(request))}
    if "training" in fields or any(value is not None for value in training.values()):
        fields["training"] = _joined(fields.get("training"), training, name="training")
    fields["model"] = request.model
    if request.suffix is not None:
        fields["suffix"] = _fit_suffix(request.suffix)
    if request.metadata is not None:
        fields["metadata"] = request.metadata
    return JobSpec.model_validate(fields)


def _refuse_what_is_not_done(request: FineTuningRequest) -> None:
    method = request.method
    if method is not None and (method.type != SUPERVISED or method.dpo is not None or method.reinforcement is not None):
        raise InvalidRequest(
            f"Jobs learn from examples with answers ({SUPERVISED!r}); {method.type!r} is not done here."
            if method.type != SUPERVISED
            else "A supervised method has no settings of other methods.",
            param="method.type" if method.type != SUPERVISED else "method",
            code="method_not_supported",
            hint='Send "method": {"type": "supervised"}, or leave it out.',
        )
    if request.integrations:
        raise InvalidRequest(
            "Where a tracker writes to is the worker's own setting, which a job does not change.",
            param="integrations",
            code="integrations_not_supported",
            hint='Leave it out, and send "training": {"report_to": ["wandb"]} to tell a tracker that the worker knows.',
        )
    dataset = (request.model_extra or {}).get("dataset")
    if isinstance(dataset, dict) and dataset.get("name") is not None:
        raise InvalidRequest(
            "The examples come from training_file here, and cannot come from a Hub data set as well.",
            param="dataset.name",
            code="given_twice",
            hint="Submit a job on a Hub data set with POST /jobs.",
        )


def _hyperparameters(request: FineTuningRequest) -> Hyperparameters:
    """From the method, or from where older clients put them; none at all if there are none."""
    supervised = request.method.supervised if request.method else None
    new = supervised.hyperparameters if supervised else None
    if new is not None and request.hyperparameters is not None and new != request.hyperparameters:
        raise InvalidRequest(
            "hyperparameters are given twice, and not alike.",
            param="hyperparameters",
            code="given_twice",
            hint="Send them in method.supervised alone: hyperparameters is the old place.",
        )
    return new or request.hyperparameters or Hyperparameters()


def _training(asked: Hyperparameters) -> dict[str, Any]:
    """By their names in ``training``; None: left to the recipe."""
    values = {
        "num_train_epochs": asked.n_epochs,
        "per_device_train_batch_size": asked.batch_size,
        "learning_rate_multiplier": asked.learning_rate_multiplier,
    }
    return {name: None if value == "auto" else value for name, value in values.items()}


def _joined(part: Any, ours: Mapping[str, Any], *, name: str) -> Any:
    """``part`` of the body with what OpenAI's parameters say. Raises InvalidRequest if it says otherwise."""
    if part is not None and not isinstance(part, dict):
        return part  # which JobSpec refuses
    joined = dict(part or {})
    for field, value in ours.items():
        if value is None:
            continue
        if joined.get(field, value) != value:
            place = f"{name}.{field}"
            raise InvalidRequest(
                f"{place} and {IN_OPENAIS_WORDS[place]} are both given, and not alike.",
                param=IN_OPENAIS_WORDS[place],
                code="given_twice",
                hint="Send one of them.",
            )
        joined[field] = value
    return joined


def _fit_suffix(suffix: str) -> str:
    """What of it can be part of an id: OpenAI's clients may send any text."""
    fit = _UNFIT.sub("-", suffix).strip("-_")
    if not fit:
        raise InvalidRequest(
            f"Nothing of the suffix {suffix!r} can be part of a model's id.",
            param="suffix",
            code="invalid_value",
            hint="Use letters, digits, hyphens and underscores.",
        )
    return fit
