"""Row A3 of the fault matrix: every route there is, documented or not, without a key, with a wrong one, and with the ids of others."""

from datetime import timedelta
from urllib.parse import quote

import pytest
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient
from sqlalchemy import update

from app import ids
from app.api.scopes import OPEN, SCOPES, asked_for, guard
from app.clock import utc_now
from app.db import transaction
from app.key import service
from app.key.models import ApiKey
from app.key.scopes import Scope
from app.main import create_app
from tests.key.conftest import bearer
from tests.key.rows import make_one_of_each

UNKNOWN = {
    "job": ids.new_id(ids.JOB),
    "file": ids.new_id(ids.FILE),
    "model": f"ft:tiny:tunery::{'0' * 32}",
    "sweep": ids.new_id(ids.SWEEP),
    "webhook": ids.new_id(ids.WEBHOOK),
}
CHAT = {"messages": [{"role": "user", "content": "hello"}]}
BODIES = {
    "/models/{model_id:path}": {"inputs": "a"},
    "/models/{model_id:path}/predict": {"inputs": "a"},
    "/models/{model_id:path}/export": {"format": "onnx"},
    "/models/{model_id:path}/v1/chat/completions": CHAT,
}
"""Of routes that ask for one: bodies that are in order."""
NAMED_IN_THE_BODY = [
    ("/predict", {"model": "{model}", "inputs": "a"}, 404),
    ("/predict", {"model": "{job}", "inputs": "a"}, 404),
    ("/predict", {"model": "{sweep}", "inputs": "a"}, 404),
    ("/predict", {"model": "{model}:ckpt-step-1", "inputs": "a"}, 404),
    ("/predict/batch", {"model": "{model}", "file": "{file}"}, 404),
    ("/v1/chat/completions", {"model": "{model}", **CHAT}, 404),
    ("/jobs", {"model": "{model}", "dataset": {"train": "{file}"}}, 422),
    ("/jobs", {"model": "acme/unknown", "dataset": {"train": "{file}"}}, 422),
    ("/v1/fine_tuning/jobs", {"model": "{model}", "training_file": "{file}"}, 422),
    ("/sweeps", {"job": {"model": "{model}", "dataset": {"train": "{file}"}},
                 "space": {"training.learning_rate": {"values": [1e-5, 2e-5]}}}, 422),
]  # fmt: skip


@pytest.fixture
def asked(sqlite_home):
    with TestClient(create_app(), base_url="http://127.0.0.1:8000", raise_server_exceptions=False) as client:
        yield client


def routes(app) -> list[tuple[str, str]]:
    """Method and path of all of them, mounted ones included."""
    found = [
        (method, str(context.path))
        for context in iter_route_contexts(app.routes)
        for method in sorted(context.methods or {"GET"})
    ]
    assert len(found) > 60
    return found


def at(path: str, known: dict[str, str]) -> str:
    return path.replace("{model_id:path}", known["model"]).format(
        **{f"{noun}_id": known.get(noun, f"{noun}-{'0' * 32}") for noun in ("job", "file", "sweep", "webhook", "key", "project")},
        name="x",
    ) if "{name:path}" not in path else path.replace("{name:path}", "main.js")  # fmt: skip


def test_every_route_says_which_scope_it_asks_for_and_no_other_is_told(asked):
    told = {f"{method} {path}" for method, path in routes(asked.app) if path not in OPEN and method != "HEAD"}
    assert told == set(SCOPES)
    assert {path for _, path in routes(asked.app)} >= OPEN


def test_without_a_valid_key_only_the_open_routes_answer(asked, make_key):
    make_key()
    unknown = f"tk_{'0' * 12}_{'A' * 43}"
    revoked, expired = make_key(), make_key(expires_in_seconds=60)
    service.revoke(next(key.id for key in service.list_keys().data if revoked.startswith(key.prefix)))
    with transaction() as session:
        session.execute(
            update(ApiKey).where(ApiKey.expires_at.is_not(None)).values(expires_at=utc_now() - timedelta(seconds=1))
        )
    for method, path in [*routes(asked.app), ("GET", "/no-such-path"), ("POST", "/no-such-path"), ("PUT", "/jobs")]:
        url = at(path, UNKNOWN)
        answers = {
            "missing_api_key": asked.request(method, url),
            "invalid_api_key": asked.request(method, url, headers=bearer(unknown)),
            "revoked_api_key": asked.request(method, url, headers=bearer(revoked)),
            "expired_api_key": asked.request(method, url, headers=bearer(expired)),
        }
        assert asked.request(method, url, headers=bearer("tk_")).status_code == answers["missing_api_key"].status_code
        for code, answer in answers.items():
            if path in OPEN:
                assert answer.status_code in {200, 304, 404, 503}, (method, path)
            else:
                assert answer.status_code == 401, (method, path, code, answer.text)
                if method != "HEAD":
                    assert code in answer.text, (method, path)


def test_a_key_without_the_scope_is_refused_and_an_admins_is_not(asked, make_key):
    by_scope = {scope: bearer(make_key(scopes=[scope])) for scope in Scope}
    for method, path in routes(asked.app):
        if path in OPEN:
            continue
        needed = asked_for(method, path) | {Scope.ADMIN}
        for scope, headers in by_scope.items():
            status = asked.request(method, at(path, UNKNOWN), headers=headers).status_code
            assert (status == 403) == (scope not in needed), (method, path, scope, status)


def test_a_route_that_says_no_scope_is_for_admins_alone(sqlite_home, make_key):
    app = create_app()
    app.add_api_route("/new", lambda: "told", methods=["GET"])
    guard(app.routes)
    with TestClient(app, base_url="http://127.0.0.1:8000") as client:
        assert client.get("/new", headers=bearer(make_key())).json()["error"]["code"] == "scope_missing"
        assert client.get("/new", headers=bearer(make_key(scopes=["admin"]))).json() == "told"


def test_what_belongs_to_another_project_is_not_there(asked, project, make_key):
    """Not by a single letter of the answer."""
    theirs = make_one_of_each("default")
    headers = bearer(make_key(project, scopes=["admin"]))
    looked_at = 0
    for method, path in routes(asked.app):
        nouns = {noun for noun in theirs if f"{{{noun}_id" in path}
        for named in [theirs] if nouns else []:
            for stands_for in ("model", "job", "sweep") if nouns == {"model"} else (nouns.pop(),):
                place = "model" if "{model_id" in path else stands_for
                told = [
                    asked.request(
                        method, at(path, {**known, place: known[stands_for]}), json=BODIES.get(path), headers=headers
                    )
                    for known in (named, UNKNOWN)
                ]
                assert [answer.status_code for answer in told] == [404, 404], (method, path, told[0].text)
                assert without_ids(told[0].text, theirs) == without_ids(told[1].text, UNKNOWN), (method, path)
                looked_at += 1
    assert looked_at > 40


@pytest.mark.parametrize(("path", "body", "status"), NAMED_IN_THE_BODY)
def test_nor_is_it_where_a_body_names_it(asked, project, make_key, path, body, status):
    theirs = make_one_of_each("default")
    headers = bearer(make_key(project))
    told = [asked.post(path, json=filled(body, known), headers=headers) for known in (theirs, UNKNOWN)]
    assert [answer.status_code for answer in told] == [status, status], told[0].text
    assert without_ids(told[0].text, theirs) == without_ids(told[1].text, UNKNOWN)


def test_a_list_holds_what_is_ones_own(asked, project, make_key):
    theirs, ours = make_one_of_each("default"), make_one_of_each(project)
    headers = bearer(make_key(project))
    lists = {"/jobs": "job", "/files": "file", "/models": "model", "/webhooks": "webhook",
             "/v1/files": "file", "/v1/models": "model"}  # fmt: skip
    for path, noun in lists.items():
        answer = asked.get(path, headers=headers)
        assert [item["id"] for item in answer.json()["data"]] == [ours[noun]], path
        assert theirs[noun] not in answer.text


def filled(body, known):
    if isinstance(body, dict):
        return {name: filled(value, known) for name, value in body.items()}
    if isinstance(body, str):
        return (
            body.replace("{model}", known["model"])
            .replace("{job}", known["job"])
            .replace("{file}", known["file"])
            .replace("{sweep}", known["sweep"])
        )
    return body


def without_ids(text: str, known: dict[str, str]) -> str:
    for noun, name in known.items():
        text = text.replace(name, f"<{noun}>").replace(quote(name), f"<{noun}>")
    return text
