import json
import os
import subprocess
import sys

import pytest

from app.config import Settings
from app.stack.errors import StartError
from app.stack.home import HomeLock, prepare_folders, running_url

HOLD = """
import sys, time
from pathlib import Path
from app.config import Settings
from app.stack.home import HomeLock
lock = HomeLock(Settings(home=Path(sys.argv[1])))
lock.acquire()
lock.describe(url="http://127.0.0.1:4711", port=4711)
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def settings(tmp_path):
    found = Settings(home=tmp_path / "home")
    prepare_folders(found)
    return found


@pytest.fixture
def holder(settings):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(settings.home_dir)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": "."},
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_new_home_and_its_sockets_are_for_the_owner_only(settings):
    assert settings.home_dir.stat().st_mode & 0o777 == 0o700
    assert settings.run_dir.stat().st_mode & 0o777 == 0o700


def test_a_run_folder_open_to_others_is_closed(settings):
    settings.run_dir.chmod(0o755)
    prepare_folders(settings)
    assert settings.run_dir.stat().st_mode & 0o777 == 0o700


def test_a_run_folder_that_is_a_link_is_refused(tmp_path):
    settings = Settings(home=tmp_path / "home")
    settings.home_dir.mkdir()
    (tmp_path / "elsewhere").mkdir()
    settings.run_dir.symlink_to(tmp_path / "elsewhere")  # not below tmp_path, so that nobody else takes it away
    try:
        with pytest.raises(StartError, match="not safe"):
            prepare_folders(settings)
    finally:
        settings.run_dir.unlink()


def test_a_home_that_cannot_be_made_is_said_in_words(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StartError, match="cannot make the folder") as caught:
        prepare_folders(Settings(home=tmp_path / "file" / "home"))
    assert "--home" in caught.value.hint


def test_a_second_owner_is_told_who_the_first_is(settings, holder):
    with pytest.raises(StartError) as caught:
        HomeLock(settings).acquire()
    assert str(holder.pid) in caught.value.message
    assert "http://127.0.0.1:4711" in caught.value.message
    assert running_url(settings) == "http://127.0.0.1:4711"


def test_a_killed_owner_leaves_the_lock_free_and_its_port_known(settings, holder):
    holder.kill()
    holder.wait()
    assert running_url(settings) is None
    lock = HomeLock(settings)
    lock.acquire()
    assert lock.previous_port == 4711
    lock.release()


def test_an_orderly_release_leaves_nothing_to_wait_for(settings):
    lock = HomeLock(settings)
    lock.acquire()
    lock.describe(url="http://127.0.0.1:1", port=1)
    assert json.loads(lock.path.read_text())["pid"] == os.getpid()
    lock.release()
    again = HomeLock(settings)
    again.acquire()
    assert again.previous_port is None
    again.release()
