"""A spec asks for workers that know what is set in it, and for no newer ones."""

from typing import Annotated

import pytest
from pydantic import BaseModel, Field, ValidationError

from app.spec.base import Contract
from app.spec.job import JobSpec
from app.spec.kinds import JobKind, read_spec, stored_spec
from app.spec.version import CONTRACT_VERSION, Since, needed_by

SPEC = {"model": "tiny", "dataset": {"train": "file-" + "0" * 32}}


class Part(Contract):
    old: int = 0
    newer: Annotated[int, Since(3)] = 0


class Whole(Contract):
    name: str = ""
    new: Annotated[int | None, Since(2)] = None
    part: Part = Field(default_factory=Part)
    parts: list[Part] = Field(default_factory=list)
    by_name: dict[str, Part] = Field(default_factory=dict)


@pytest.mark.parametrize(
    ("given", "needed"),
    [
        ({}, 1),
        ({"name": "a", "part": {"old": 7}}, 1),
        ({"new": 5}, 2),
        ({"new": None}, 1),
        ({"new": 5, "part": {"newer": 1}}, 3),
        ({"parts": [{"old": 1}, {"newer": 1}]}, 3),
        ({"by_name": {"a": {"newer": 1}}}, 3),
    ],
)
def test_what_is_set_tells_which_version_is_needed(given, needed):
    assert needed_by(Whole.model_validate(given)) == needed


def test_no_field_is_newer_than_the_contract():
    def marks(model: type[BaseModel]):
        for field in model.model_fields.values():
            yield from (mark.version for mark in field.metadata if isinstance(mark, Since))

    assert max([1, *marks(JobSpec)]) <= CONTRACT_VERSION
    assert needed_by(JobSpec.model_validate(SPEC)) == 1


def test_fields_of_a_newer_version_are_left_out_of_what_is_stored_and_refused_of_what_is_sent():
    newer = SPEC | {"colour": "red", "training": {"num_train_epochs": 2, "hue": 3}}
    assert stored_spec(JobKind.TRAINING, newer).training.num_train_epochs == 2
    with pytest.raises(ValidationError):
        read_spec(JobKind.TRAINING, newer)
