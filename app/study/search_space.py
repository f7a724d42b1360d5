"""Which fields of a job a study may vary, what values they can have, and the job's spec with some of them."""

import copy
import difflib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
from pydantic import BaseModel, ValidationError

from app.errors import InvalidRequest
from app.spec.adapter import AdapterSpec
from app.spec.job import JobSpec
from app.spec.training import TrainingSpec
from app.study.spec import ParameterSpec

_PARTS: Final[dict[str, type[BaseModel]]] = {"training": TrainingSpec, "adapter": AdapterSpec}
_WHOLE: Final = ("model", "prompt_format", "adapter")
_MEASURING: Final = frozenset(
    {
        "eval_strategy",
        "eval_steps",
        "greater_is_better",
        "logging_steps",
        "logging_strategy",
        "metric_for_best_model",
        "per_device_eval_batch_size",
        "report_to",
        "save_steps",
        "save_strategy",
        "save_total_limit",
    }
)
"""Of ``training``: how a job is watched, not how it learns. Trials that differ in them could not be compared."""


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One dimension of the space."""

    path: str
    choices: list[Any] | None
    low: float
    high: float
    log: bool
    step: float | None
    """Of whole numbers always set, unless the scale is logarithmic."""
    is_whole: bool
    """The field takes whole numbers alone."""

    @property
    def num_points(self) -> int | None:
        """How many values there are; None: any number between two."""
        if self.choices is not None:
            return len(self.choices)
        return None if self.step is None else math.floor((self.high - self.low) / self.step + 1e-9) + 1

    def points(self) -> list[Any]:
        """All values, where they can be counted."""
        if self.choices is not None:
            return self.choices
        return [self.typed(self.low + index * (self.step or 1.0)) for index in range(self.num_points or 0)]

    @property
    def ends(self) -> list[Any]:
        """Values of which each must make a valid job: then so does any between them."""
        if self.choices is not None:
            return self.choices
        return [self.typed(self.low), self.typed(self.high)]

    def typed(self, value: float) -> float | int:
        """As the field wants it; steps of 0.1 give 0.3 rather than 0.30000000000000004."""
        if self.is_whole:
            return round(value)
        return value if self.step is None else float(f"{value:.15g}")


def parameters(space: Mapping[str, ParameterSpec]) -> list[Parameter]:
    """In the order of their paths. Raises InvalidRequest that names the one that cannot be varied so."""
    found = [_parameter(path, space[path]) for path in sorted(space)]
    for path in space:
        if any(other.startswith(f"{path}.") for other in space):
            inner = next(other for other in space if other.startswith(f"{path}."))
            raise InvalidRequest(f"{inner} is a part of {path}: vary one of them", param=f"space.{inner}")
    return found


def applied(base: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """``base``, the body of a ``POST /jobs``, with ``params`` in place of what it has there."""
    spec: dict[str, Any] = copy.deepcopy(dict(base))
    for path, value in params.items():
        *parents, name = path.split(".")
        target = spec
        for parent in parents:
            if target.get(parent) is None:
                target[parent] = {}
            target = target[parent]
        target[name] = value
    return spec


def check_values(base: Mapping[str, Any], space: list[Parameter]) -> None:
    """Raise InvalidRequest for an end or a choice with which the job is none, all else being as in ``base``."""
    for parameter in space:
        for value in parameter.ends:
            try:
                JobSpec.model_validate(applied(base, {parameter.path: value}))
            except ValidationError as error:
                reason = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
                raise InvalidRequest(
                    f"space.{parameter.path}: with {_shown(value)} the job is none: {reason}",
                    param=f"space.{parameter.path}",
                    code="invalid_value",
                ) from error


def corners(space: list[Parameter]) -> Iterator[dict[str, Any]]:
    """Points at which jobs are checked against model and data: all first ends, all last ones, and each choice by itself."""
    first = {parameter.path: parameter.ends[0] for parameter in space}
    yield first
    yield {parameter.path: parameter.ends[-1] for parameter in space}
    for parameter in space:
        for choice in (parameter.choices or [])[1:]:
            yield first | {parameter.path: choice}


def grid_size(space: list[Parameter]) -> int:
    """How many points there are. Raises InvalidRequest for a parameter that has any number of them."""
    for parameter in space:
        if parameter.num_points is None:
            raise InvalidRequest(
                f"space.{parameter.path}: a grid needs choices, or a step between low and high",
                param=f"space.{parameter.path}",
                code="invalid_value",
                hint='For example {"choices": [1e-5, 3e-5, 1e-4]}, or another sampler.',
            )
    return math.prod(parameter.num_points or 0 for parameter in space)


def _parameter(path: str, spec: ParameterSpec) -> Parameter:
    kinds = _json_types(path)
    if spec.choices is not None:
        if len({orjson.dumps(choice, option=orjson.OPT_SORT_KEYS) for choice in spec.choices}) < len(spec.choices):
            raise _bad(path, "each choice may be there once")
        return Parameter(path=path, choices=spec.choices, low=0, high=0, log=False, step=None, is_whole=False)
    if not kinds & {"integer", "number"}:
        raise _bad(path, "is not a number: give choices")
    assert spec.low is not None
    assert spec.high is not None
    is_whole = "number" not in kinds
    step = spec.step
    if is_whole:
        if not all(number.is_integer() for number in (spec.low, spec.high, step or 1.0)):
            raise _bad(path, "takes whole numbers alone, and so must low, high and step be")
        step = None if spec.log else step or 1.0
    high = spec.high
    if step is not None:
        high = float(f"{spec.low + math.floor((spec.high - spec.low) / step + 1e-9) * step:.15g}")
        if high <= spec.low:
            raise _bad(path, "step must be no larger than high - low")
    return Parameter(path=path, choices=None, low=spec.low, high=high, log=spec.log, step=step, is_whole=is_whole)


def _json_types(path: str) -> set[str]:
    """JSON types that the field takes. Raises InvalidRequest if there is no such field, or it may not be varied."""
    part, _, name = path.partition(".")
    model = _PARTS.get(part) if name else JobSpec
    if model is None or (name or part) not in model.model_fields:
        if part in JobSpec.model_fields and part not in _PARTS and name:
            raise _fixed(path)
        raise _unknown(path)
    if (not name and part not in _WHOLE) or (part == "training" and name in _MEASURING):
        raise _fixed(path)
    schema = model.model_json_schema()["properties"][name or part]
    return {str(branch["type"]) for branch in (schema, *schema.get("anyOf", ())) if "type" in branch}


def _unknown(path: str) -> InvalidRequest:
    known = [
        *_WHOLE,
        *(f"{part}.{name}" for part, model in _PARTS.items() for name in model.model_fields if name not in _MEASURING),
    ]
    near = difflib.get_close_matches(path, known, n=1, cutoff=0.75) or [
        field
        for last in difflib.get_close_matches(
            path.rpartition(".")[2], [field.rpartition(".")[2] for field in known], n=1
        )
        for field in known
        if field.rpartition(".")[2] == last
    ]
    guess = f"; did you mean {near[0]}?" if near else ""
    return InvalidRequest(
        f"space.{path}: a job has no such field{guess}", param=f"space.{path}", code="unknown_parameter"
    )


def _fixed(path: str) -> InvalidRequest:
    return InvalidRequest(
        f"space.{path}: all trials must have this in common, or they could not be compared",
        param=f"space.{path}",
        code="parameter_cannot_vary",
        hint="Give it in job. What can vary: model, prompt_format, adapter, and how training learns.",
    )


def _bad(path: str, reason: str) -> InvalidRequest:
    return InvalidRequest(f"space.{path}: {reason}", param=f"space.{path}", code="invalid_value")


def _shown(value: Any) -> str:
    return orjson.dumps(value).decode()
