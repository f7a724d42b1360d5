"""What a trainer has given up before it looks at its job, whether it is born warm or starts cold, alone or in ranks."""

import json
import os
import pwd
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from app.config import get_settings
from app.errors import InvalidRequest
from app.manifest import CorruptArtefactError, seal, verify
from app.spec.run import ExitCode
from app.storage import holding
from tests.stack.processes import ROOT
from tests.trainer.conftest import Lab
from tests.worker.conftest import LONG
from worker import isolation
from worker.isolation import IsolationUnavailableError, take_back
from worker.process import trainer_environment

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the means are Linux's")
NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")


def _can_nobody_run_python() -> bool:
    try:
        return run_as_nobody("") == ""
    except PermissionError:
        return False


def run_as_nobody(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code],
        user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True, text=True, check=False,
    ).stderr  # fmt: skip


with_two_users = pytest.mark.skipif(
    os.geteuid() != 0 or not _can_nobody_run_python(), reason="needs root, and a Python that others may run"
)


def confined(run_dir: Path, **confinement: object) -> Path:
    path = run_dir / "run.json"
    run = json.loads(path.read_text())
    path.write_text(json.dumps(run | {"confinement": confinement}))
    return run_dir


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def limits_of(pid: int) -> dict[str, list[str]]:
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()[1:]
    return {line[:26].strip(): line[26:].split() for line in lines}


def network_of(pid: int | str) -> str:
    return str(Path(f"/proc/{pid}/ns/net").readlink())


def interfaces_of(pid: int) -> list[str]:
    lines = Path(f"/proc/{pid}/net/dev").read_text().splitlines()[2:]
    return [line.partition(":")[0].strip() for line in lines]


@pytest.fixture(params=["warm", "cold"])
def birth(request, without_nursery):
    if request.param == "warm":
        request.getfixturevalue("nursery")
    else:
        without_nursery()
    return request.param


def assert_it_gave_up(pid: int, run_dir: Path) -> None:
    """What every trainer does."""
    told, limits = status_of(pid), limits_of(pid)
    assert (told["NoNewPrivs"], int(told["Umask"], 8)) == ("1", 0o077)
    assert limits["Max core file size"][:2] == ["0", "0"]
    assert int(limits["Max open files"][1]) <= 65_536
    assert Path(f"/proc/{pid}/cwd").readlink() == run_dir / "empty"
    assert stat.S_IMODE((run_dir / "empty").stat().st_mode) == 0o700


def test_what_a_trainer_gives_up_that_keeps_its_network(lab, nursery, start):
    run_dir = lab.write(**LONG)
    trainer = start(run_dir)
    trainer.wait_for("progress")
    assert_it_gave_up(trainer.pid, run_dir)
    assert network_of(trainer.pid) == network_of("self")


def test_a_trainer_without_a_network_has_loopback_alone_and_no_way_back(lab, birth, start):
    run_dir = confined(lab.write(**LONG), network="none")
    trainer = start(run_dir)
    trainer.wait_for("progress")
    assert_it_gave_up(trainer.pid, run_dir)
    assert network_of(trainer.pid) != network_of("self")
    assert interfaces_of(trainer.pid) == ["lo"]
    assert int(status_of(trainer.pid)["CapEff"], 16) == 0
    assert int(status_of(trainer.pid)["CapPrm"], 16) == 0


def test_ranks_meet_on_loopback_without_a_network(lab, nursery, start):
    trainer = start(confined(lab.write(num_train_epochs=1, spec={"resources": {"processes": 2}}), network="none"))
    assert trainer.finish() == ExitCode.SUCCESS, trainer.log()


def test_memory_that_is_bounded_ends_a_job_with_the_reason(lab, start, without_nursery):
    without_nursery()
    trainer = start(confined(lab.write(num_train_epochs=1), memory_bytes=200_000_000))
    assert trainer.finish() == 1
    assert trainer.seen[-1]["code"] == "out_of_memory", trainer.log()


@pytest.fixture
def open_lab(tiny_model):
    """A lab that another user can reach; pytest's own folders are closed."""
    folder = Path(tempfile.mkdtemp(prefix="tunery-isolation-"))
    folder.chmod(0o755)
    model = Path(shutil.copytree(tiny_model, folder / "tiny-model"))
    model.chmod(0o755)
    for path in model.iterdir():
        path.chmod(0o644)
    yield Lab(folder, model=model)
    shutil.rmtree(folder)


@with_two_users
@pytest.mark.parametrize("network", ["host", "none"])
def test_a_trainer_of_another_user_writes_its_own_and_reads_nothing_of_the_service(
    open_lab, birth, start, network, monkeypatch
):
    monkeypatch.setenv("TUNERY_HOME", str(open_lab.home))
    monkeypatch.setenv("TUNERY_TRAINER_USER", f"{NOBODY}:{NOBODY}")
    monkeypatch.setenv("TUNERY_TRAINER_NETWORK", network)
    get_settings.cache_clear()
    isolation.check()
    run_dir = open_lab.write(num_train_epochs=30)
    confined(run_dir, **isolation.confinement().model_dump())
    isolation.lend(run_dir)
    trainer = start(run_dir)
    trainer.wait_for("progress")
    told = status_of(trainer.pid)
    assert told["Uid"].split() == told["Gid"].split() == [str(NOBODY)] * 4
    assert int(told["CapEff"], 16) == 0
    assert (network_of(trainer.pid) == network_of("self")) is (network == "host")
    assert trainer.finish() == ExitCode.SUCCESS, trainer.log()
    assert (run_dir / "model").stat().st_uid == NOBODY
    replaced = run_as_nobody(f"import os; os.unlink({str(run_dir / 'trainer.log')!r})")
    assert "Operation not permitted" in replaced, "its log is not to become a link to what the API may read"


@with_two_users
def test_the_database_and_the_key_are_closed_to_the_trainers_user(monkeypatch):
    home = Path(tempfile.mkdtemp(prefix="tunery-isolation-"))
    home.chmod(0o755)
    try:
        (home / "tunery.db").write_text("rows")
        monkeypatch.setenv("TUNERY_HOME", str(home))
        monkeypatch.setenv("TUNERY_TRAINER_USER", pwd.getpwuid(NOBODY).pw_name)
        get_settings.cache_clear()
        isolation.check()
        assert "Permission denied" in run_as_nobody(f"open({str(home / 'tunery.db')!r})")
        os.close(holding.lock("artefacts/models/one", alone=False) or 0)
        [lock] = holding.locks_dir().iterdir()
        for code in (f"open({str(lock)!r}, 'a')", f"import os; os.rename({str(lock.parent)!r}, '/tmp/elsewhere')"):
            assert "Permission denied" in run_as_nobody(code), "who uses which copy is not for it to say"
        environment = trainer_environment({"PATH": "/bin", "HOME": "/root"})
        assert environment["HOME"] == str(home / "cache/trainer-home")
        assert environment["HF_HOME"] == str(home / "cache/huggingface")
        home.chmod(0o700)
        with pytest.raises(IsolationUnavailableError, match=f"chmod g\\+x {home}"):
            isolation.check()
        os.chown(home, 0, NOBODY)
        home.chmod(0o710)
        isolation.check()
    finally:
        shutil.rmtree(home)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"TUNERY_TRAINER_USER": "no-such-user"}, "there is no user"),
        ({"TUNERY_TRAINER_USER": "0:0"}, "another user than root"),
    ],
)
@as_root
def test_settings_that_cannot_be_met_are_refused(settings_home, monkeypatch, settings, reason):
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()
    with pytest.raises(IsolationUnavailableError, match=reason):
        isolation.check()


@as_root
def test_a_worker_does_not_start_where_the_system_refuses(tmp_path):
    """It is root without capabilities, and so without the right to make namespaces."""
    if shutil.which("setpriv") is None:
        pytest.skip("there is no setpriv")
    environment = dict(os.environ) | {
        "TUNERY_HOME": str(tmp_path / "home"), "TUNERY_TRAINER_NETWORK": "none", "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    dropped = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    done = subprocess.run(
        [*dropped, sys.executable, "-m", "worker.main"],
        env=environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 78, done.stderr
    assert "does not start" in done.stderr
    assert "taking the network away" in done.stderr


def test_nodes_are_refused_where_trainers_have_no_network(settings_home, monkeypatch):
    monkeypatch.setenv("TUNERY_TRAINER_NETWORK", "none")
    get_settings.cache_clear()
    isolation.refuse_nodes_without_network(1)
    with pytest.raises(InvalidRequest) as refused:
        isolation.refuse_nodes_without_network(2)
    assert refused.value.code == "nodes_need_network"
    assert trainer_environment({})["HF_HUB_OFFLINE"] == "1"


JOB = "ftjob-1"


@pytest.fixture
def sealed(settings_home: Path) -> Path:
    get_settings().artefacts_dir.mkdir()
    get_settings().artefacts_dir.chmod(0o750)
    folder = get_settings().jobs_dir / JOB / "attempt-1/model"
    folder.mkdir(parents=True, mode=0o700)
    (folder / "config.json").write_text("{}")
    (folder / "config.json").chmod(0o600)
    seal(folder, about={})
    return folder


def test_what_is_published_is_readable_to_whom_all_artefacts_are(sealed):
    assert take_back(sealed, job_id=JOB) == sealed
    assert stat.S_IMODE(sealed.stat().st_mode) == 0o750
    assert stat.S_IMODE((sealed / "config.json").stat().st_mode) == 0o640
    verify(sealed)


def test_a_link_is_not_published(sealed, settings_home):
    (settings_home / "secret.key").write_text("canary")
    (sealed / "weights").symlink_to(settings_home / "secret.key")
    with pytest.raises(CorruptArtefactError, match="is a link"):
        take_back(sealed, job_id=JOB)


@as_root
def test_a_hard_link_to_a_file_of_the_service_is_not_published(sealed, settings_home, monkeypatch):
    monkeypatch.setenv("TUNERY_TRAINER_USER", f"{NOBODY}:{NOBODY}")
    get_settings.cache_clear()
    (settings_home / "secret.key").write_text("canary")
    for path in (sealed, *sealed.iterdir()):
        os.chown(path, NOBODY, NOBODY)
    assert take_back(sealed, job_id=JOB) == sealed
    assert (sealed / "config.json").stat().st_uid == 0
    os.link(settings_home / "secret.key", sealed / "weights")
    for path in (sealed, *(sealed / name for name in ("config.json", "manifest.json"))):
        os.chown(path, NOBODY, NOBODY)
    with pytest.raises(CorruptArtefactError, match="not the trainer's own"):
        take_back(sealed, job_id=JOB)


@pytest.mark.parametrize("told", ["/etc", "../../artefacts", "ftjob-2/attempt-1/model"])
def test_a_folder_that_is_not_the_jobs_own_is_not_published(sealed, told):
    (get_settings().jobs_dir / "ftjob-2/attempt-1/model").mkdir(parents=True)
    with pytest.raises(CorruptArtefactError, match="not its own"):
        take_back(Path(told), job_id=JOB)


def test_a_manifest_names_files_of_its_folder_alone(sealed):
    for name in ("../secret.key", "/etc/passwd", "a/../../b", ""):
        manifest = {"files": {name: {"bytes": 2, "sha256": "0" * 64}}, "about": {}}
        (sealed / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(CorruptArtefactError, match="lies elsewhere"):
            verify(sealed)
