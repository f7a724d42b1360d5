"""A project's Hub token: kept encrypted, told to nobody, used for what the project asks of the Hub."""

import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import select, update

from app import caller, sealing
from app.caller import Caller
from app.config import get_settings
from app.db import reading, transaction
from app.errors import InvalidModel, Unavailable
from app.hub_token import service
from app.hub_token.models import HubToken
from app.hub_token.schemas import NewHubToken
from app.model.service import check_hub_dataset, resolve_reference
from app.private_file import read_or_make
from tests.hub.builders import bert_folder
from tests.hub.server import FakeHub
from worker import hub_access

CANARY = "hf_canaryCANARYcanary0123456789"


def put(token: str = CANARY) -> None:
    service.put(NewHubToken(token=SecretStr(token)))


def stored() -> str:
    with reading() as session:
        return session.scalars(select(HubToken.sealed)).one()


def test_it_is_told_by_its_ending_alone(client, sqlite_home):
    assert client.get("/hub-token").json() == {
        "object": "hub_token", "is_set": False, "last_four": None, "set_at": None,
    }  # fmt: skip
    answer = client.put("/hub-token", json={"token": CANARY})
    assert answer.status_code == 200
    assert answer.json()["last_four"] == "6789"
    assert CANARY not in answer.text + client.get("/hub-token").text
    assert client.delete("/hub-token").json()["deleted"] is True
    assert client.delete("/hub-token").json()["deleted"] is False
    assert client.get("/hub-token").json()["is_set"] is False


@pytest.mark.parametrize(
    "body",
    [
        {"token": f"{CANARY} {CANARY}"},
        {"token": f"{CANARY}\n{CANARY}"},
        {"token": CANARY + "é"},
        {"token": [CANARY]},
        {"token": {"secret": CANARY}},
        {"token": CANARY * 40},
        {"token": CANARY, "more": CANARY},
        CANARY,
        [CANARY],
    ],
    ids=str,
)
def test_a_refusal_does_not_repeat_it(client, caplog, body):
    answer = client.put("/hub-token", json=body)
    assert answer.status_code == 422
    assert CANARY not in answer.text
    assert CANARY not in caplog.text


def test_broken_json_is_not_repeated_either(client):
    answer = client.put("/hub-token", content=f'{{"token": "{CANARY}"', headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert CANARY not in answer.text


def test_no_byte_of_it_is_at_rest(database, settings_home):
    put()
    assert CANARY not in stored()
    files = [path for path in settings_home.rglob("*") if path.is_file()]
    assert settings_home / "secret.key" in files
    assert not [path for path in files if CANARY.encode() in path.read_bytes()]
    assert service.token_of(caller.DEFAULT_PROJECT) == SecretStr(CANARY)


def test_the_key_is_for_this_user_alone_and_made_once_however_many_ask(tmp_path):
    path = tmp_path / "secret.key"
    with ThreadPoolExecutor(16) as pool:
        found = set(pool.map(lambda number: read_or_make(path, lambda: b"%d" % number), range(64)))
    assert len(found) == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_another_key_is_named_as_the_reason(sqlite_home, monkeypatch):
    put()
    monkeypatch.setenv("TUNERY_SECRET_KEY", "k" * 32)
    get_settings.cache_clear()
    with pytest.raises(Unavailable, match="another key") as caught:
        service.token_of("default")
    assert caught.value.code == "hub_token_unreadable"
    put()
    assert service.token_of("default") == SecretStr(CANARY)
    assert (sqlite_home / "secret.key").exists(), "it is not needed any more, and not ours to remove"


def test_without_a_key_none_is_made_up_for_reading(sqlite_home):
    put()
    (sqlite_home / "secret.key").unlink()
    with pytest.raises(Unavailable, match="neither TUNERY_SECRET_KEY"):
        service.token_of("default")
    assert not (sqlite_home / "secret.key").exists()


def test_a_short_secret_key_is_refused(monkeypatch):
    monkeypatch.setenv("TUNERY_SECRET_KEY", "short")
    get_settings.cache_clear()
    with pytest.raises(ValueError, match="at least 32") as refused:
        get_settings()
    assert "'short'" not in str(refused.value)
    get_settings.cache_clear()


def test_damage_is_told_from_a_wrong_key(sqlite_home):
    put()
    with transaction() as session:
        session.execute(update(HubToken).values(sealed=stored()[:-8] + "AAAAAAA="))
    with pytest.raises(Unavailable, match="damaged"):
        service.token_of("default")


def test_projects_have_tokens_of_their_own(sqlite_home):
    with caller.acting_for(Caller(project_id="one")):
        put("hf_of_project_one")
    with caller.acting_for(Caller(project_id="two")):
        assert service.show().is_set is False
        put("hf_of_project_two")
        service.remove()
    assert service.token_of("one") == SecretStr("hf_of_project_one")
    assert service.token_of("two") is None


def test_a_token_that_is_copied_to_another_project_cannot_be_read_there(sqlite_home):
    with caller.acting_for(Caller(project_id="one")):
        put()
    with transaction() as session:
        session.execute(update(HubToken).values(project_id="two"))
    with pytest.raises(Unavailable, match="damaged"):
        service.token_of("two")


def test_the_same_secret_is_sealed_differently_each_time(sqlite_home):
    assert len({sealing.seal(SecretStr(CANARY), purpose="a") for _ in range(8)}) == 8


def test_the_hub_is_asked_with_the_token_of_the_caller(fake_hub: FakeHub, sqlite_home, tmp_path):
    fake_hub.add_model("org/gated", bert_folder(tmp_path / "bert"), gated_for=CANARY)
    fake_hub.add_dataset("org/secret", files={"train.csv": b"text,label\na,0\n"}, gated_for=CANARY)
    with caller.acting_for(Caller(project_id="one")):
        put()
        assert resolve_reference("org/gated", revision=None).info is not None
        check_hub_dataset("org/secret", None, None)
    with caller.acting_for(Caller(project_id="two")), pytest.raises(InvalidModel) as refused:
        resolve_reference("org/gated", revision=None)
    assert refused.value.code == "model_gated"


READ = "import sys, huggingface_hub; from worker.trainer import hub_token; hub_token.use(int(sys.argv[1]));"
READ_COLD = "import sys; from worker.trainer import hub_token; hub_token.use(int(sys.argv[1])); import huggingface_hub;"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there are no files in memory")
@pytest.mark.parametrize("how", [READ, READ_COLD], ids=["warm", "cold"])
def test_a_trainer_finds_it_as_often_as_it_looks_and_so_do_those_it_forks(how):
    code = how + (
        "import os; from huggingface_hub import get_token; found = [get_token(), get_token()]\n"
        "pid = os.fork()\n"
        "if pid == 0: os._exit(0 if get_token() == found[0] else 1)\n"
        "assert os.waitpid(pid, 0)[1] == 0\n"
        "print(*found)"
    )
    with hub_access.handed_over(SecretStr(CANARY)) as descriptor:
        done = subprocess.run(
            [sys.executable, "-c", code, str(descriptor)],
            cwd=Path(__file__).parents[2],
            pass_fds=[descriptor],
            capture_output=True,
            text=True,
            check=True,
        )
    assert done.stdout.split() == [CANARY, CANARY]


def test_the_token_of_the_worker_stands_in_for_that_of_the_project(sqlite_home, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_server")
    assert hub_access.token_of("default") == SecretStr("hf_of_the_server")
    put()
    assert hub_access.token_of("default") == SecretStr(CANARY)
