"""Sealed folders on their way between machines, through an S3 server and through a folder."""

import os
import signal
import subprocess
import sys
import threading
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from app import storage
from app.config import get_settings
from app.manifest import MANIFEST, CorruptArtefactError, read_manifest, verify
from app.storage import download as downloads
from app.storage.folders import remote_store
from tests.stack.processes import ROOT
from worker import isolation

RUNS = """
import sys
from pathlib import Path
from app import storage
from app.config import get_settings
getattr(storage, sys.argv[1])(get_settings().home_dir / sys.argv[2])
"""


def in_a_process(function: str, folder: Path, **settings: str) -> int:
    path = folder.relative_to(get_settings().home_dir)
    command = [sys.executable, "-P", "-c", RUNS, function, str(path)]
    return subprocess.run(
        command, env=dict(os.environ) | {"PYTHONPATH": str(ROOT)} | settings, check=False, capture_output=True
    ).returncode


def stored_names(folder: Path) -> set[str]:
    key = folder.relative_to(get_settings().home_dir).as_posix()
    return {entry.key.removeprefix(f"{key}/") for entry in remote_store().entries(key)}


def overwrite(folder: Path, name: str, content: bytes) -> None:
    key = folder.relative_to(get_settings().home_dir).as_posix()
    remote_store().write(f"{key}/{name}", content)


def test_what_one_machine_publishes_another_fetches(machines, sealed):
    machines.go_to("a")
    one = sealed(weights=os.urandom(3000), config=b"{}", empty=b"")
    manifest = read_manifest(one)
    assert not storage.is_stored(one)
    storage.publish(one)
    storage.publish(one)
    assert storage.is_stored(one)
    machines.go_to("b")
    other = get_settings().artefacts_dir / "models/one"
    assert storage.look_at(other, expected_sha256=manifest.sha256).files == manifest.files
    assert storage.read(other / "config") == b"{}"
    assert not other.exists(), "to look at it brings nothing here"
    assert storage.fetch(other, manifest_sha256=manifest.sha256) == other
    assert verify(other).sha256 == manifest.sha256
    assert {path.name for path in other.parent.iterdir()} == {"one"}


def test_a_folder_counts_once_its_manifest_is_in_the_store(machines, sealed, tmp_path):
    machines.go_to("a")
    folder = sealed()
    mark = tmp_path / "mark"
    assert in_a_process("publish", folder, TUNERY_FAILPOINT=f"store.sent_file@{mark}") == -signal.SIGKILL
    assert MANIFEST not in stored_names(folder)
    assert len(stored_names(folder)) == 1
    assert not storage.is_stored(folder)
    machines.go_to("b")
    with pytest.raises(CorruptArtefactError, match="not in the store"):
        storage.fetch(get_settings().artefacts_dir / "models/one")
    machines.go_to("a")
    storage.publish(folder)
    assert stored_names(folder) == {"weights", "config", MANIFEST}
    storage.verify(folder)


def test_a_download_that_was_cut_off_is_gone_on_with(machines, sealed, tmp_path, monkeypatch):
    machines.go_to("a")
    storage.publish(sealed())
    machines.go_to("b")
    folder = get_settings().artefacts_dir / "models/one"
    mark = tmp_path / "mark"
    assert in_a_process("fetch", folder, TUNERY_FAILPOINT=f"store.fetched_file@{mark}") == -signal.SIGKILL
    assert not folder.exists()
    [partial] = folder.parent.iterdir()
    [brought] = partial.iterdir()
    asked = []
    read = remote_store().read
    monkeypatch.setattr(remote_store(), "read", lambda key, **limits: asked.append(key) or read(key, **limits))
    storage.fetch(folder)
    assert {Path(key).name for key in asked} == {MANIFEST, "weights", "config"} - {brought.name}
    verify(folder)


@pytest.mark.parametrize("store_url", ["file"], indirect=True)
@pytest.mark.parametrize("num_bytes", [0, 1, 999, 1000])
def test_a_half_downloaded_file_is_completed_or_brought_anew(machines, sealed, num_bytes, monkeypatch):
    monkeypatch.setattr(downloads, "PART_BYTES", 400)
    machines.go_to("a")
    content = os.urandom(1000)
    storage.publish(sealed(weights=content))
    for start in (content, b"?" * 1000):
        home = machines.go_to(f"b{start[:1].hex()}")
        folder = home / "artefacts/models/one"
        partial = folder.parent / ".tmp-one-fetched"
        partial.mkdir(parents=True)
        (partial / "weights").write_bytes(start[:num_bytes])
        storage.fetch(folder)
        assert (folder / "weights").read_bytes() == content


@pytest.mark.parametrize("damage", ["changed", "shorter", "longer", "missing", "manifest"])
def test_what_was_damaged_in_the_store_is_never_taken_for_whole(machines, sealed, damage):
    machines.go_to("a")
    folder = sealed(weights=b"w" * 1000, config=b"{}")
    expected = read_manifest(folder).sha256
    storage.publish(folder)
    match damage:
        case "changed":
            overwrite(folder, "weights", b"w" * 999 + b"v")
        case "shorter":
            overwrite(folder, "weights", b"w" * 10)
        case "longer":
            overwrite(folder, "weights", b"w" * 1001)
        case "missing":
            remote_store().delete(["artefacts/models/one/weights"])
        case "manifest":
            other = sealed("models/two")
            overwrite(folder, MANIFEST, (other / MANIFEST).read_bytes())
    machines.go_to("b")
    copy = get_settings().artefacts_dir / "models/one"
    with pytest.raises(CorruptArtefactError):
        storage.verify(copy, expected_sha256=expected)
    if damage != "longer":  # of which the right bytes are taken
        with pytest.raises(CorruptArtefactError):
            storage.fetch(copy, manifest_sha256=expected)
        assert not copy.exists()


def test_a_manifest_that_names_a_file_elsewhere_is_refused(machines, sealed):
    home = machines.go_to("a")
    folder = sealed(weights=b"w")
    storage.publish(folder)
    overwrite(folder, MANIFEST, (folder / MANIFEST).read_bytes().replace(b'"weights"', b'"../../weights"'))
    overwrite(folder.parent.parent, "weights", b"w")
    machines.go_to("b")
    with pytest.raises(CorruptArtefactError, match="lies elsewhere"):
        storage.fetch(get_settings().artefacts_dir / "models/one")
    assert not list((home.parent / "b").rglob("weights"))


def test_many_who_ask_at_a_time_download_once(machines, sealed, monkeypatch):
    machines.go_to("a")
    storage.publish(sealed())
    machines.go_to("b")
    folder = get_settings().artefacts_dir / "models/one"
    asked = []
    read = remote_store().read
    monkeypatch.setattr(remote_store(), "read", lambda key, **limits: asked.append(key) or read(key, **limits))
    threads = [threading.Thread(target=storage.fetch, args=[folder]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    verify(folder)
    assert sorted(Path(key).name for key in asked) == ["config", MANIFEST, "weights"]


def test_a_damaged_copy_is_replaced_from_the_store(machines, sealed):
    machines.go_to("a")
    folder = sealed(weights=b"w" * 100)
    storage.publish(folder)
    (folder / "weights").write_bytes(b"v" * 100)
    with storage.held():
        storage.fetch_whole(folder)
    assert (folder / "weights").read_bytes() == b"w" * 100


def test_what_was_used_longest_ago_goes_and_never_what_is_in_use_or_not_in_the_store(machines, sealed):
    machines.go_to("a", TUNERY_CACHE_BYTES="5000")
    folders = [sealed(f"models/{number}", weights=os.urandom(1500)) for number in range(4)]
    with storage.held():
        storage.publish(folders[0])
        storage.publish(folders[1])
        for folder in folders[:2]:
            storage.fetch(folder)
    own = sealed("models/own", weights=os.urandom(1500))
    with storage.held():
        storage.fetch(folders[0])
        storage.publish(folders[2])
        storage.publish(folders[3])
    kept = [folder.name for folder in (*folders, own) if folder.exists()]
    assert kept == ["0", "2", "3", "own"], "1 was used before 2, and 0 is in use"
    storage.fetch(folders[1])
    kept = [folder.name for folder in (*folders, own) if folder.exists()]
    assert kept == ["1", "2", "3", "own"], "0 was used before the others"
    storage.fetch(folders[0])
    for folder in folders:
        storage.verify(folder)


def test_what_is_removed_is_gone_everywhere(machines, sealed):
    machines.go_to("a")
    folder, other = sealed(), sealed("models/one-more")
    storage.publish(folder)
    storage.publish(other)
    storage.remove(folder)
    assert not folder.exists()
    assert storage.stored_folders(folder.parent).keys() == {other}
    with pytest.raises(CorruptArtefactError):
        storage.fetch(folder)


def test_folders_at_rest_are_told_by_the_age_of_what_is_in_them(machines, sealed):
    machines.go_to("a")
    folder = sealed()
    storage.publish(folder)
    assert storage.resting(folder.parent, older_than=timedelta(days=1)) == []
    assert storage.resting(folder.parent, older_than=timedelta(seconds=-5)) == [folder]


def test_files_that_stand_alone_can_be_read_from_anywhere_in_them(machines):
    home = machines.go_to("a")
    log = home / "jobs/one/attempt-1/trainer.log"
    log.parent.mkdir(parents=True)
    for content in (b"first\n", b"first\nsecond\n"):
        log.write_bytes(content)
        storage.put_file(log)
    other = machines.go_to("b") / "jobs/one/attempt-1/trainer.log"
    assert storage.read(other, start=6, num_bytes=3) == b"sec"
    assert storage.read(other, start=13, num_bytes=3) == b""
    with pytest.raises(FileNotFoundError):
        storage.read(other.with_name("no.log"))


@pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="only root becomes another user")
@pytest.mark.parametrize("kind", ["its own", "a link", "a hard link", "a folder's link", "another job's"])
def test_a_confined_trainer_sends_nothing_into_the_store_but_its_own_files(machines, sealed, kind):
    home = machines.go_to("a", TUNERY_TRAINER_USER="65534:65534")
    job = "ftjob-2" if kind == "another job's" else "ftjob-1"
    folder = sealed(f"../jobs/{job}/attempt-1/checkpoints/step-1", weights=b"own", config=b"{}").resolve()
    for path in folder.iterdir():
        os.chown(path, 65534, 65534)
    (home / "secret.key").write_bytes(b"key")  # as long as what it stands for
    if kind in {"a link", "a hard link"}:
        (folder / "weights").unlink()
        (os.link if kind == "a hard link" else os.symlink)(home / "secret.key", folder / "weights")
    if kind == "a folder's link":
        kept = folder.rename(folder.parent.parent.parent.parent / "elsewhere")
        folder.symlink_to(kept)
    guarded = partial(isolation.guarded, job_id="ftjob-1")
    if kind == "its own":
        storage.publish(folder, guarded=guarded)
        assert storage.verify(folder).files.keys() == {"weights", "config"}
        return
    with pytest.raises(CorruptArtefactError):
        storage.publish(folder, guarded=guarded)
    assert f"{folder.name}/weights" not in stored_names(folder.parent)
    assert not storage.is_stored(folder)
