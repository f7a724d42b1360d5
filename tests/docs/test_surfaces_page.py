"""docs/api.md names every parameter that Hugging Face's clients may send and every number that Prometheus is told."""

import re
from pathlib import Path

from prometheus_client.core import Metric

from app.metrics.requests import RequestCounts
from app.metrics.stored import StoredNumbers
from app.prediction.huggingface_schemas import HuggingFaceParameters
from worker.predictor.metrics import metrics_text
from worker.predictor.scheduler import Scheduler

PAGE = (Path(__file__).parents[2] / "docs/api.md").read_text()


def section(heading: str) -> str:
    return PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def test_every_parameter_of_hugging_faces_clients_is_named():
    named = set(re.findall(r"`(\w+)`", section("Hugging Face's clients")))
    assert set(HuggingFaceParameters.model_fields) - named == set()


def test_the_table_of_numbers_is_that_of_the_exposition(sqlite_home):
    table = set(re.findall(r"`(tunery_\w+)`", section("Numbers for Prometheus")))
    told = set(
        re.findall(r"^# TYPE (\w+)", metrics_text(Scheduler(max_texts=1, memory_bytes=1, idle_seconds=1)), re.MULTILINE)
    )
    told |= {_name(family) for family in (*RequestCounts().families(), *StoredNumbers().families())}
    assert table == told | {"tunery_info", "tunery_predictor_up"}


def _name(family: Metric) -> str:
    return f"{family.name}_total" if family.type == "counter" else family.name
