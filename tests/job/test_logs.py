"""``GET /jobs/{id}/logs``: what trainers wrote, attempt by attempt, of the node that is asked for."""

import pytest

from app.job.states import JobStatus
from app.spec.run import TRAINER_LOG, node_folder
from tests.job.conftest import insert_job

SPEC = {"model": "tiny", "dataset": {"train": "file-" + "0" * 32}, "resources": {"nodes": 2, "processes": 2}}


@pytest.fixture
def together(sqlite_home):
    """A job of two nodes whose second attempt has ended; the second node had no share in the first one."""
    job_id = insert_job(status=JobStatus.SUCCEEDED, attempt=2, spec=SPEC)
    for number, node, written in ((1, 0, "gathers\n"), (2, 0, "leads\ngoes on\n"), (2, 1, "follows\n")):
        folder = node_folder(sqlite_home / "jobs" / job_id / f"attempt-{number}", node)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / TRAINER_LOG).write_text(written)
    return job_id


def read(client, job_id, **params):
    """Attempt, node and text of each line."""
    lines, page = [], {"ended": False}
    while not page["ended"]:
        page = client.get(f"/jobs/{job_id}/logs", params=params).json()
        lines += [(page["attempt"], page["node"], line) for line in page["lines"]]
        params["after"] = page["next"]
    return lines


def test_the_first_node_is_shown_or_the_one_that_is_asked_for(client, together):
    first = [(1, 0, "gathers"), (2, 0, "leads"), (2, 0, "goes on")]
    assert read(client, together) == read(client, together, node=0) == first
    assert read(client, together, node=1) == [(2, 1, "follows")]


@pytest.mark.parametrize("node", [2, 99, -1, "first", 2**40])
def test_a_node_that_the_job_has_not_is_refused(client, together, node):
    answer = client.get(f"/jobs/{together}/logs", params={"node": node})
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, "node")
    if node in (2, 99):
        assert "2 nodes, 0 to 1" in answer.json()["detail"]


def test_a_job_of_one_node_has_one_log(client, sqlite_home):
    job_id = insert_job(status=JobStatus.RUNNING, attempt=1)
    folder = sqlite_home / "jobs" / job_id / "attempt-1"
    folder.mkdir(parents=True)
    (folder / TRAINER_LOG).write_text("alone\nnot yet a li")
    page = client.get(f"/jobs/{job_id}/logs").json()
    assert page == {"attempt": 1, "node": 0, "lines": ["alone"], "next": "1:6", "ended": False}
    assert "one node, which is 0" in client.get(f"/jobs/{job_id}/logs", params={"node": 1}).json()["detail"]
