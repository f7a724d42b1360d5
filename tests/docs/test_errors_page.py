"""docs/errors.md names every code that the sources can answer, and no other."""

import json
import re

from fastapi.testclient import TestClient

from tests.docs import error_codes

PAGE = (error_codes.ROOT / "docs/errors.md").read_text()
ERRORS_PAGE, WARNINGS_PAGE = PAGE.split("## Warnings")
DOCUMENTED = {
    code: set(where.split(", "))
    for code, where in re.findall(r"^\| `(\w+)` \| ([\w, ]+) \| ", ERRORS_PAGE, re.MULTILINE)
}
FROM_THE_FRAMEWORK = {"method_not_allowed"}


def test_every_error_code_of_the_sources_is_on_the_page_and_no_other():
    found = set(error_codes.answers()) | FROM_THE_FRAMEWORK
    assert found - DOCUMENTED.keys() == set()
    assert DOCUMENTED.keys() - found == set()


def test_the_page_gives_every_status_that_a_code_is_raised_with():
    lacking = {code: found - DOCUMENTED.get(code, set()) for code, found in error_codes.answers().items()}
    assert {code: statuses for code, statuses in lacking.items() if statuses} == {}


def test_every_row_of_the_page_could_be_read():
    assert len(re.findall(r"^\| `", ERRORS_PAGE, re.MULTILINE)) == len(DOCUMENTED) > 100


def test_every_warning_of_the_sources_is_on_the_page_and_no_other():
    assert set(re.findall(r"^\| `(\w+)` \|", WARNINGS_PAGE, re.MULTILINE)) == error_codes.warnings()


def test_a_method_that_a_path_lacks_has_a_code_too(client: TestClient):
    answer = client.put("/jobs", json={})
    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_allowed")


def test_the_example_body_is_what_the_api_answers(client: TestClient):
    example = json.loads(re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)[1])
    spec = {"model": "m", "dataset": {"train": "file-" + "0" * 32}, "training": {"learning_rat": 1e-5}}
    assert client.post("/jobs", json=spec).json() == example
