"""Row A7 of the fault matrix, a small share of it: few requests to each route. ``python -m tests.contract.fuzz`` does the whole."""

import pytest

from app.api.scopes import OPEN
from app.main import create_app
from tests.contract.fuzz import WAYS, fuzz

FEW = ["--max-examples", "1", "--seed", "1"]
NO_COVERAGE = """
# Bodies with so many fields make up most of that phase.
[[operations]]
include-path = ["/jobs", "/sweeps", "/predict", "/predict/batch", "/models/{model_id}", "/v1/fine_tuning/jobs"]
phases.coverage.enabled = false

# What is below /v1 goes by the same services; what is asked of a model is long as well.
[[operations]]
include-path-regex = "^/v1/|chat/completions$"
phases.coverage.enabled = false
"""


@pytest.mark.parametrize(
    ("way", "phases"),
    [
        ("without keys", "fuzzing"),
        # All phases take a minute or more, too long for make test, and a second way as long as the first.
        pytest.param("with an admin's key", "examples,coverage,fuzzing,stateful", marks=pytest.mark.long),
        pytest.param("with a wrong key", "fuzzing", marks=pytest.mark.long),
    ],
)
def test_whatever_is_asked_the_answer_is_one_that_is_described(tmp_path, way, phases):
    outcome = fuzz(WAYS[way], tmp_path, options=["--phases", phases, *FEW], more=NO_COVERAGE)
    assert outcome.passed, outcome.text
    assert outcome.num_requests > 60, "all routes are asked"


def test_what_is_true_of_all_routes_is_described_of_all(settings_home):
    for path, operations in create_app().openapi()["paths"].items():
        for method, operation in operations.items():
            told = operation["responses"]
            assert "403" in told, (method, path)
            assert (operation.get("security") == [{"key": []}]) == (path not in OPEN), (method, path)
            assert {"401", "503"} <= told.keys() or path in OPEN, (method, path)
            assert {"413", "422"} <= told.keys() or "requestBody" not in operation, (method, path)
            for status, response in told.items():
                kinds = set(response.get("content", {}))
                assert "application/problem+json" not in kinds or len(kinds) == 1, (method, path, status)
