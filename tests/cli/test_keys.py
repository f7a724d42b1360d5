"""The first key is made on the machine itself, before anything runs."""

import pytest
from fastapi.testclient import TestClient

from tests.conftest import reset_process_state


@pytest.fixture
def home(settings_home):
    return settings_home


def test_keys_and_projects_are_made_listed_and_revoked_in_the_database_of_the_home(nowhere, home):
    project = nowhere.json("projects", "create", "nlp", "--home", home)
    made = nowhere.json(
        "keys", "create", "ci", "--project", "nlp", "--scopes", "read, predict", "--expires", "90d", "--home", home
    )
    assert made["key"].startswith(f"{made['prefix']}_")
    assert (made["project_id"], made["scopes"]) == (project["id"], ["predict", "read"])
    [listed] = nowhere.json("keys", "ls", "--home", home)["data"]
    assert listed == {name: value for name, value in made.items() if name != "key"}
    assert [each["name"] for each in nowhere.json("projects", "ls", "--home", home)["data"]] == ["nlp", "default"]

    from app.main import create_app

    reset_process_state()
    with TestClient(create_app(), base_url="http://127.0.0.1:8000") as client:
        headers = {"authorization": f"Bearer {made['key']}"}
        assert client.get("/jobs").status_code == 401
        assert client.get("/jobs", headers=headers).status_code == 200
        told = client.get("/keys/me", headers=headers).json()
        assert (told["name"], told["project_id"], told["scopes"]) == ("ci", project["id"], ["predict", "read"])

    assert nowhere.json("keys", "revoke", made["id"], "--home", home)["revoked_at"] is not None
    assert "revoked" in nowhere.run("keys", "revoke", made["id"], "--home", home).stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("keys", "create", "x", "--project", "none"), "There is no project 'none'."),
        (("keys", "create", "x", "--scopes", "all"), "scopes"),
        (("keys", "create", "x", "--expires", "soon"), "no duration"),
        (("keys", "revoke", "key-0"), "There is no key 'key-0'."),
        (("projects", "create", "default"), "There is a project 'default'."),
    ],
)
def test_what_cannot_be_made_is_told(nowhere, home, arguments, said):
    assert said in nowhere.run(*arguments, "--home", home, expect=1).stderr
