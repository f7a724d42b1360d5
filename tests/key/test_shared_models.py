"""A base model that an admin registers for all is used by all, and deleted by its owner."""

import pytest
from fastapi.testclient import TestClient

from app import caller
from app.caller import Caller
from app.main import create_app
from app.model.service import own_folders
from tests.hub.builders import bert_folder
from tests.key.conftest import bearer
from tests.key.test_limits import ROWS


@pytest.fixture
def asked(sqlite_home):
    with TestClient(create_app(), base_url="http://127.0.0.1:8000", raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def register(asked, tmp_path):
    folder = bert_folder(tmp_path / "tiny")

    def send(headers, name="tiny", **fields):
        parts = [("files", (path.name, path.read_bytes())) for path in sorted(folder.iterdir())]
        return asked.post("/models", data={"name": name, **fields}, files=parts, headers=headers)

    return send


def code_of(answer):
    return answer.status_code, answer.json()["error"]["code"]


def test_all_projects_train_from_a_shared_model_and_only_its_owner_deletes_it(asked, register, project, make_key):
    admin, ours = bearer(make_key(scopes=["admin"])), bearer(make_key(project))
    assert register(admin).json()["shared"] is False
    assert asked.get("/models/tiny", headers=ours).status_code == 404
    taken = register(ours)
    assert code_of(taken) == (409, "model_exists"), "names are the server's"
    assert register(admin, shared="true").json()["shared"] is True, "the same again, for all from now on"
    assert [model["id"] for model in asked.get("/models", headers=ours).json()["data"]] == ["tiny"]
    assert register(ours).status_code == 200, "the same model is there"
    with caller.acting_for(Caller(project_id=project)):
        assert own_folders("tiny")[0] is not None, "as a worker looks for it"

    file_id = asked.post("/files", files={"file": ("rows.jsonl", ROWS)}, headers=ours).json()["id"]
    job = asked.post(
        "/jobs", json={"model": "tiny", "dataset": {"train": file_id, "validation": 0.25}}, headers=ours
    ).json()
    assert code_of(asked.delete("/models/tiny", headers=ours)) == (403, "not_the_owner")
    assert code_of(asked.delete("/models/tiny", headers=admin)) == (409, "model_in_use")
    asked.post(f"/jobs/{job['id']}/cancel", headers=ours)
    assert asked.delete("/models/tiny", headers=admin).status_code == 200
    assert asked.get("/models/tiny", headers=ours).status_code == 404


def test_only_admins_share(asked, register, project, make_key):
    assert code_of(register(bearer(make_key(project)), shared="true")) == (403, "scope_missing")
    assert code_of(register(bearer(make_key(scopes=["admin"])), shared="maybe")) == (422, "invalid_value")
    assert register(bearer(make_key(project))).status_code == 201, "nothing was left of the first"
