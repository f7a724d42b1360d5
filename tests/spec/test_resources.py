"""What a job may ask to run on."""

import pytest
from pydantic import ValidationError

from app.spec.job import JobSpec
from app.spec.recipe import fill

SPEC = {"model": "acme/tiny", "dataset": {"name": "nyu-mll/glue"}, "problem_type": "single_label_classification"}


def test_a_job_has_one_process_unless_it_says_so_and_it_is_written_back():
    resources = JobSpec.model_validate(SPEC).model_dump()["resources"]
    assert resources == {"gpus": None, "gpu_memory": None, "processes": 1, "nodes": 1, "fsdp": False}


@pytest.mark.parametrize("resource", ["processes", "nodes"])
@pytest.mark.parametrize("number", [0, -1, 65, 1.5, "2", True, None])
def test_a_number_that_makes_no_sense_is_refused(resource, number):
    with pytest.raises(ValidationError, match=resource):
        JobSpec.model_validate(SPEC | {"resources": {resource: number}})


def test_a_batch_that_leaves_processes_without_an_example_is_refused_with_what_to_do():
    training = {"per_device_train_batch_size": 3, "gradient_accumulation_steps": 8}
    with pytest.raises(ValidationError, match="must be 4 at least"):
        JobSpec.model_validate(SPEC | {"training": training, "resources": {"processes": 4}})
    assert JobSpec.model_validate(SPEC | {"training": training, "resources": {"processes": 3}})


def test_the_processes_of_all_nodes_share_a_batch():
    resources = {"processes": 4, "nodes": 3}
    training = {"per_device_train_batch_size": 11}
    with pytest.raises(ValidationError, match=r"4 on each of 3 nodes.* must be 12 at least"):
        JobSpec.model_validate(SPEC | {"training": training, "resources": resources})
    filled = fill(
        JobSpec.model_validate(SPEC | {"resources": resources | {"nodes": 16}}),
        num_examples=100,
        num_labels=2,
        model_config={},
    )
    assert filled.training.per_device_train_batch_size == 64


def test_a_batch_that_is_chosen_is_large_enough_for_all():
    for processes, batch_size in [(1, 16), (16, 16), (24, 24)]:
        spec = JobSpec.model_validate(SPEC | {"resources": {"processes": processes}})
        filled = fill(spec, num_examples=100, num_labels=2, model_config={})
        assert filled.training.per_device_train_batch_size == batch_size


def test_one_process_has_nobody_to_share_its_weights_with():
    with pytest.raises(ValidationError, match="of 2 at least") as refusal:
        JobSpec.model_validate(SPEC | {"resources": {"fsdp": True}})
    assert refusal.value.errors()[0]["loc"] == ("resources", "fsdp")
    assert JobSpec.model_validate(SPEC | {"resources": {"processes": 2, "fsdp": True}}).resources.fsdp
    with pytest.raises(ValidationError, match="valid boolean"):
        JobSpec.model_validate(SPEC | {"resources": {"processes": 2, "fsdp": "yes"}})
