"""Row A4 of the fault matrix: what names a model or data set is an id on every surface, never a path or an address."""

import json
import sys
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests.api.test_refused_jobs import stocked  # noqa: F401

CANARY = "canary-that-no-answer-may-hold"
LOOKED_AT: list[str] = []
"""Files that were opened and addresses that were connected to, while a test watches."""
_WATCHES: set[str] = set()


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if _WATCHES and event in {"open", "socket.connect", "os.listdir", "os.scandir", "socket.getaddrinfo"}:
        LOOKED_AT.append(str(arguments[0] if event != "socket.connect" else arguments[1]))


sys.addaudithook(_hook)


@pytest.fixture
def watched(tmp_path) -> Iterator[str]:
    """A file with a canary, of which nothing may look at the content; its path."""
    path = tmp_path / "canary.txt"
    path.write_text(CANARY)
    LOOKED_AT.clear()
    _WATCHES.add(str(path))
    yield str(path)
    _WATCHES.clear()


BAD = [
    "/etc/passwd", "file:///etc/passwd", "../../etc/passwd", "..", "%252e%252e%252fetc%252fpasswd", "..%2f..%2fetc%2fpasswd",
    "s3://bucket/model", "gs://bucket/model", "http://169.254.169.254/latest/meta-data", "https://evil.example/model",
    "hf://datasets/a/b", "~/.ssh/id_rsa", "a/../b", "C:\\Windows\\win.ini", "\\\\evil\\share", "a//b", "/proc/self/environ",
    "org/name@../..", "${HOME}/x", "a\nb", "./local",
]  # fmt: skip

SPECS = {
    "POST /jobs model": ("/jobs", lambda bad, spec: {**spec, "model": bad}),
    "POST /jobs dataset.name": ("/jobs", lambda bad, spec: {**spec, "dataset": {"name": bad}}),
    "POST /jobs dataset.train": ("/jobs", lambda bad, spec: {**spec, "dataset": {"train": bad}}),
    "POST /jobs dataset.validation": (
        "/jobs",
        lambda bad, spec: {**spec, "dataset": {**spec["dataset"], "validation": bad}},
    ),
    "POST /jobs dataset.revision": (
        "/jobs",
        lambda bad, spec: {**spec, "dataset": {"name": "acme/rows", "revision": bad, "config": bad}},
    ),
    "POST /sweeps model": (
        "/sweeps",
        lambda bad, spec: {"job": {**spec, "model": bad}, "space": {"training.seed": {"choices": [1, 2]}}, "num_trials": 1},
    ),
    "POST /sweeps a choice": (
        "/sweeps",
        lambda bad, spec: {"job": spec, "space": {"model": {"choices": ["tiny", bad]}}, "num_trials": 1},
    ),
    "POST /v1 model": (
        "/v1/fine_tuning/jobs",
        lambda bad, spec: {"model": bad, "training_file": spec["dataset"]["train"]},
    ),
    "POST /v1 training_file": ("/v1/fine_tuning/jobs", lambda bad, _: {"model": "tiny", "training_file": bad}),
    "POST /predict/batch file": ("/predict/batch", lambda bad, _: {"model": "tiny", "file": bad}),
}  # fmt: skip


def test_no_spec_takes_a_path_or_an_address(stocked, watched):  # noqa: F811
    client, spec = stocked
    accepted = []
    for surface, (path, body_of) in SPECS.items():
        for bad in [*BAD, watched]:
            answer = client.post(path, json=body_of(bad, spec))
            if answer.status_code != 422:
                accepted.append((surface, bad, answer.status_code, answer.text[:200]))
            assert CANARY not in answer.text
    assert accepted == []
    assert_nothing_was_looked_at(watched)


def test_no_retry_with_changes_does(stocked, watched):  # noqa: F811
    client, spec = stocked
    job_id = client.post("/jobs", json=spec).json()["id"]
    for bad in [*BAD, watched]:
        for change in ({"model": bad}, {"dataset": {"name": bad}}, {"dataset": {"train": bad}}):
            assert client.post(f"/jobs/{job_id}/retry", json=change).status_code in {409, 422}
    client.post(f"/jobs/{job_id}/cancel")
    for bad in [*BAD, watched]:
        for change in ({"model": bad}, {"dataset": {"name": bad}}, {"dataset": {"train": bad}}):
            answer = client.post(f"/jobs/{job_id}/retry", json=change)
            assert answer.status_code == 422, (change, answer.text)
    assert_nothing_was_looked_at(watched)


def test_what_is_asked_by_a_path_is_not_there(stocked, watched):  # noqa: F811
    """Ids stand in URLs here: what is none of ours is unknown, however it is written."""
    client, _ = stocked
    for bad in [*BAD, watched]:
        quoted = quote(bad, safe="")
        for path, body in {
            "/predict": {"model": bad, "inputs": "a"},
            "/v1/chat/completions": {"model": bad, "messages": [{"role": "user", "content": "a"}]},
            f"/models/{quoted}": {"inputs": "a"},
            f"/models/{quoted}/v1/chat/completions": {"model": "x", "messages": [{"role": "user", "content": "a"}]},
            f"/models/{quoted}/predict": {"inputs": "a"},
            f"/models/{quoted}/export": {"format": "onnx"},
        }.items():
            answer = client.post(path, json=body)
            assert answer.status_code in {404, 405, 422}, (path, bad, answer.text)
            assert CANARY not in answer.text
        for path in (
            f"/models/{quoted}", f"/models/{quoted}/download", f"/v1/models/{quoted}", f"/files/{quoted}", f"/files/{quoted}/content",
            f"/v1/files/{quoted}/content", f"/jobs/{quoted}/logs", f"/dashboard/assets/{quoted}", f"/docs/assets/{quoted}",
        ):  # fmt: skip
            answer = client.get(path)
            # ".." of a client that takes it for a step up names another route, which is no matter of files.
            assert answer.status_code in {307, 404, 405, 422} or bad == "..", (path, bad, answer.status_code)
            assert CANARY not in answer.text
    assert_nothing_was_looked_at(watched)


def assert_nothing_was_looked_at(canary: str) -> None:
    assert canary not in LOOKED_AT
    forbidden = ("/etc/passwd", "/proc/self/environ", "win.ini", ".ssh", "169.254", "evil", "bucket")
    assert [path for path in LOOKED_AT if any(part in path for part in forbidden)] == []


def test_the_watch_sees_what_is_opened_and_connected_to(watched):
    with open(watched) as file:  # noqa: PTH123 - any way of opening
        assert json.dumps(file.read())
    assert watched in LOOKED_AT
