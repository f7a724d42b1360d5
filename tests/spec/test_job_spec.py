"""What a ``JobSpec`` makes of what was left out, and what it does not take."""

import pytest
from pydantic import ValidationError

from app.spec.job import DatasetSpec, JobSpec


def test_the_training_split_of_a_hub_data_set_is_called_train_unless_said_otherwise():
    assert DatasetSpec(name="nyu-mll/glue", config="mrpc").train == "train"
    assert DatasetSpec(name="nyu-mll/glue", train=None).train == "train"
    assert DatasetSpec(name="nyu-mll/glue", train="train[:10%]").train == "train[:10%]"


def test_a_filled_spec_reads_as_itself():
    spec = JobSpec.model_validate({"model": "acme/tiny", "dataset": {"name": "nyu-mll/glue", "config": "mrpc"}})
    assert JobSpec.model_validate_json(spec.model_dump_json()) == spec


@pytest.mark.parametrize(
    "dataset",
    [
        {},
        {"validation": 0.1},
        {"train": "train"},
        {"train": "auto"},
        {"train": f"file-{'0' * 32}", "test": "auto"},
        {"train": f"file-{'0' * 32}", "config": "mrpc"},
        {"name": "../etc/passwd"},
        {"name": "https://example.org/data"},
        {"name": "nyu-mll/glue", "train": f"file-{'0' * 32}.."},
    ],
)
def test_data_that_no_trainer_could_find_is_refused(dataset):
    with pytest.raises(ValidationError):
        DatasetSpec.model_validate(dataset)


def test_a_text_with_nul_is_refused_and_one_that_only_spells_it_is_not():
    spec = {"model": "acme/tiny", "dataset": {"name": "nyu-mll/glue"}}
    with pytest.raises(ValidationError, match="NUL"):
        JobSpec.model_validate(spec | {"metadata": {"note": "a\0b"}})
    assert JobSpec.model_validate(spec | {"metadata": {"note": "a\\u0000b"}}).metadata == {"note": "a\\u0000b"}
