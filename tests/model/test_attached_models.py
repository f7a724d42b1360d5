"""Models that are adapters on a base: the base is stored once, lives as long as one of them, and comes with a download."""

import io
import json
import os
import shutil
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Barrier

import pytest

from app.config import get_settings
from app.db import transaction
from app.errors import Unavailable
from app.manifest import CorruptArtefactError, read_manifest, seal, verify
from app.model.bases import base_dir, place_base, remove_unused
from app.model.publishing import place, publish
from app.model.service import own_folders, resolve_reference
from tests.hub.builders import bert_folder, safetensors

DAY = timedelta(days=1)
WEIGHTS = safetensors({"encoder.weight": [4, 4]})


def trained(home: Path, name: str, *, weights: bytes = WEIGHTS) -> tuple[Path, Path]:
    """What a trainer leaves in its run directory: the folder of the model, and that of its base."""
    run = home / "jobs" / name
    folder = bert_folder(run / "model")
    (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({"r": 4, "of": name}))
    seal(folder, about={})
    unnamed = run / "bases" / "unnamed"
    unnamed.mkdir(parents=True)
    (unnamed / "model.safetensors").write_bytes(weights)
    return folder, unnamed.rename(unnamed.parent / seal(unnamed, about={}).weights_sha256())


def published(home: Path, name: str, **options: bytes) -> str:
    """The id of a model that was published as the worker does it."""
    folder, base = trained(home, name, **options)
    place_base(base, weights_sha256=base.name)
    model_id = f"ft:org/bert:tunery::{name}"
    placed = place(folder, model_id=model_id)
    with transaction() as session:
        publish(
            session,
            model_id=model_id,
            job_id=f"ftjob-{name}",
            base_model="org/bert",
            task="text-classification",
            folder=placed,
            metrics={},
            base_sha256=base.name,
        )
    return model_id


def bases() -> list[str]:
    return sorted(path.name for path in (get_settings().artefacts_dir / "bases").iterdir())


def rest(folder: Path, *, days: float) -> None:
    moment = time.time() - days * 86_400
    for path in (*folder.iterdir(), folder):
        os.utime(path, (moment, moment))


def test_a_base_is_stored_once_for_all_that_need_it(sqlite_home: Path):
    names = [published(sqlite_home, name) for name in ("first", "second")]
    published(sqlite_home, "third", weights=safetensors({"other.weight": [4, 4]}))
    assert len(bases()) == 2
    sha256 = read_manifest(own_folders(names[0])[1]).weights_sha256()
    assert own_folders(names[0])[1] == own_folders(names[1])[1] == base_dir(sha256)
    assert not list((sqlite_home / "jobs").glob("*/bases/*")), "nothing stays behind"


def test_placing_again_finds_it_and_mends_what_is_damaged(sqlite_home: Path):
    _, base = trained(sqlite_home, "first")
    again = shutil.copytree(base, sqlite_home / "again" / base.name)
    target = place_base(base, weights_sha256=base.name)
    assert place_base(base, weights_sha256=base.name) == target
    (target / "model.safetensors").write_bytes(b"rotten")
    with pytest.raises(CorruptArtefactError):
        place_base(base, weights_sha256=base.name)
    place_base(again, weights_sha256=base.name)
    verify(target)
    assert bases() == [base.name]
    with pytest.raises(CorruptArtefactError):
        place_base(sqlite_home / "none", weights_sha256="0" * 64)
    _, other = trained(sqlite_home, "other", weights=safetensors({"other.weight": [4, 4]}))
    with pytest.raises(CorruptArtefactError, match="another"):
        place_base(other, weights_sha256="0" * 64)


def test_workers_that_bring_the_same_base_at_once_do_not_hurt_each_other(sqlite_home: Path):
    brought = [trained(sqlite_home, str(number))[1] for number in range(8)]
    start = Barrier(len(brought))

    def bring(base: Path) -> Path:
        start.wait()
        return place_base(base, weights_sha256=base.name)

    with ThreadPoolExecutor(len(brought)) as workers:
        places = set(workers.map(bring, brought))
    assert places == {base_dir(brought[0].name)}
    verify(places.pop())
    assert bases() == [brought[0].name]
    assert not any(base.exists() for base in brought)


def test_a_base_goes_a_day_after_the_last_model_that_needs_it(client, sqlite_home: Path):
    names = [published(sqlite_home, name) for name in ("first", "second")]
    (base,) = bases()
    for model_id in names:
        rest(base_dir(base), days=2)
        assert remove_unused(older_than=DAY) == []
        assert client.delete(f"/models/{model_id}").status_code == 200
    rest(base_dir(base), days=0.5)
    assert remove_unused(older_than=DAY) == []
    rest(base_dir(base), days=2)
    assert remove_unused(older_than=DAY) == [base]
    assert bases() == []


def test_a_base_that_a_job_has_just_placed_stays_though_it_was_written_long_ago(sqlite_home: Path):
    _, base = trained(sqlite_home, "slow")
    rest(base, days=9)
    placed = place_base(base, weights_sha256=base.name)
    assert remove_unused(older_than=DAY) == []
    rest(placed, days=9)
    place_base(base, weights_sha256=base.name)
    assert remove_unused(older_than=DAY) == []
    verify(placed)


def test_what_a_killed_process_left_among_the_bases_goes_too(sqlite_home: Path):
    published(sqlite_home, "first")
    left = get_settings().artefacts_dir / "bases" / ".tmp-left"
    left.mkdir()
    (left / "model.safetensors").write_bytes(b"half")
    assert remove_unused(older_than=DAY) == []
    rest(left, days=2)
    assert remove_unused(older_than=DAY) == [".tmp-left"]
    assert len(bases()) == 1


def test_the_download_has_the_base_unless_told_otherwise(client, sqlite_home: Path):
    model_id = published(sqlite_home, "first")
    detail = client.get(f"/models/{model_id}").json()
    assert detail["base_sha256"] == bases()[0]
    assert detail["size_bytes"] == sum(file["size_bytes"] for file in detail["files"])

    def names(query: str) -> dict[str, bytes]:
        archive = zipfile.ZipFile(io.BytesIO(client.get(f"/models/{model_id}/download{query}").content))
        assert archive.testzip() is None
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}

    small, whole = names("?base=false"), names("")
    assert small.keys() == {file["name"] for file in detail["files"]}
    assert {name: whole[name] for name in small} == small
    assert {name for name in whole if name not in small} == {"base/config.json", "base/model.safetensors"}
    assert whole["base/model.safetensors"] == WEIGHTS
    assert whole["base/config.json"] == small["config.json"]


def test_it_can_be_trained_from_while_its_base_is_whole(client, sqlite_home: Path):
    model_id = published(sqlite_home, "first")
    reference = resolve_reference(model_id, revision=None)
    assert (reference.kind, reference.folder) == ("fine-tuned", own_folders(model_id)[0])
    weights = base_dir(bases()[0]) / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(Unavailable) as damaged:
        own_folders(model_id)
    assert damaged.value.code == "artifact_corrupt"
    weights.unlink()
    with pytest.raises(Unavailable):
        resolve_reference(model_id, revision=None)
    for path in (f"/models/{model_id}", f"/models/{model_id}/download"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "artifact_corrupt")
