"""What the predictor counts: models that come and go, and why requests fail."""

from prometheus_client.parser import text_string_to_metric_families

from app.prediction.wire import Failure
from tests.predictor.tiny_models import make_model
from worker.predictor.engine import LoadedModel
from worker.predictor.metrics import metrics_text
from worker.predictor.pending import ModelKey
from worker.predictor.scheduler import Scheduler


def measured(scheduler):
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(metrics_text(scheduler))
        for sample in family.samples
    }


def test_models_that_go_are_counted_with_the_reason(tmp_path):
    models = [LoadedModel.load(make_model(tmp_path / name).folder) for name in "abc"]
    keys = [ModelKey(folder=tmp_path / name, manifest_sha256=name) for name in "abc"]
    size = models[0].memory_bytes
    scheduler = Scheduler(max_texts=10, memory_bytes=2 * size, idle_seconds=-1.0)
    for key, model in zip(keys, models, strict=True):
        scheduler.loaded(key, model=model, name=key.folder.name)
    found = measured(scheduler)
    assert found["tunery_predictor_unloads_total", "memory"] == 1
    assert (found["tunery_predictor_loaded_models",], found["tunery_predictor_loaded_bytes",]) == (2, 2 * size)
    assert scheduler._make_room(keys[0])
    assert measured(scheduler)["tunery_predictor_unloads_total", "memory"] == 2
    scheduler._unload_idle()
    found = measured(scheduler)
    assert (found["tunery_predictor_unloads_total", "idle"], found["tunery_predictor_loaded_models",]) == (1, 0)


def test_failures_are_counted_by_code_and_told_before_there_are_any():
    scheduler = Scheduler(max_texts=10, memory_bytes=1, idle_seconds=1.0)
    assert measured(scheduler)["tunery_predictor_failures_total", "overloaded"] == 0
    scheduler.counts.answered(Failure(request_id=1, code="overloaded", message="full"))
    assert measured(scheduler)["tunery_predictor_failures_total", "overloaded"] == 1
