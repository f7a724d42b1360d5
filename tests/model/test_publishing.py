import json
import os
import shutil
import time
from datetime import timedelta
from pathlib import Path

import pytest

from app.config import get_settings
from app.db import reading, transaction
from app.errors import InvalidModel, Unavailable
from app.manifest import CorruptArtefactError, read_manifest, seal, verify
from app.model.publishing import place, publish, remove_strays
from app.model.service import own_folders, resolve_reference
from tests.hub.builders import bert_folder

MODEL = "ft:org/bert:tunery::019a"


@pytest.fixture
def sealed(sqlite_home: Path) -> Path:
    folder = bert_folder(get_settings().jobs_dir / "ftjob-019a" / "attempt-1" / "model")
    seal(folder, about={"step": 3})
    return folder


def publish_it(folder: Path, model_id: str = MODEL) -> str:
    with transaction() as session:
        model = publish(
            session,
            model_id=model_id,
            job_id="ftjob-019a",
            base_model="org/bert",
            task="text-classification",
            folder=folder,
            metrics={"eval/accuracy": 1.0},
        )
        return model.weights_sha256


def test_a_model_is_moved_whole_and_nothing_stays_behind(sealed: Path):
    before = read_manifest(sealed)
    target = place(sealed, model_id=MODEL)
    assert verify(target) == before
    assert target.parent == get_settings().artefacts_dir / "models"
    assert not sealed.exists()
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_placing_and_publishing_again_gives_the_same(sealed: Path):
    first = place(sealed, model_id=MODEL)
    assert place(sealed, model_id=MODEL) == first
    bert_folder(sealed)
    seal(sealed, about={"step": 3})
    assert place(sealed, model_id=MODEL) == first
    assert publish_it(first) == publish_it(first)


def test_an_attempt_that_lost_its_job_does_not_change_the_published_model(sealed: Path):
    published = place(sealed, model_id=MODEL)
    before = publish_it(published)
    late = bert_folder(get_settings().jobs_dir / "late")
    (late / "vocab.txt").write_text("other")
    seal(late, about={})
    assert place(late, model_id=MODEL) != published
    verify(published)
    assert publish_it(published) == before


def test_ids_that_look_alike_on_a_disk_have_places_of_their_own(sealed: Path):
    target = place(sealed, model_id="ft:a/b:c::d")
    other = bert_folder(get_settings().jobs_dir / "other")
    seal(other, about={"step": 3})
    assert place(other, model_id="ft:a_b:c::d") != target
    long = bert_folder(get_settings().jobs_dir / "long")
    seal(long, about={})
    assert len(place(long, model_id="ft:" + "x" * 300).name) < 200


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs a second file system")
def test_a_model_is_copied_between_file_systems(sealed: Path, tmp_path: Path):
    far = Path("/dev/shm") / f"tunery-test-{os.getpid()}"
    try:
        bert_folder(far)
        before = seal(far, about={"step": 9})
        if far.stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("/dev/shm is on the same file system")
        target = place(far, model_id=MODEL)
        assert read_manifest(target).sha256 == before.sha256
        verify(target)
        assert not far.exists()

        bert_folder(far)
        seal(far, about={"step": 10})
        (far / "vocab.txt").write_text("changed after it was sealed")
        with pytest.raises(CorruptArtefactError):
            place(far, model_id=MODEL)
        assert [path.name for path in target.parent.iterdir()] == [target.name]
    finally:
        shutil.rmtree(far, ignore_errors=True)


def test_what_was_never_there_cannot_be_placed(sqlite_home: Path):
    with pytest.raises(CorruptArtefactError):
        place(sqlite_home / "none", model_id=MODEL)


def test_a_published_model_can_be_trained_from(sealed: Path):
    target = place(sealed, model_id=MODEL)
    publish_it(target)
    reference = resolve_reference(MODEL, revision=None)
    assert (reference.kind, reference.folder) == ("fine-tuned", target)
    assert reference.info is not None
    assert reference.info.hidden_size == 16
    with pytest.raises(InvalidModel) as caught:
        resolve_reference(MODEL, revision="main")
    assert caught.value.param == "model_revision"
    (target / "model.safetensors").unlink()
    with pytest.raises(Unavailable):
        resolve_reference(MODEL, revision=None)


def test_a_damaged_model_is_not_trained_from(sealed: Path):
    target = place(sealed, model_id=MODEL)
    publish_it(target)
    assert own_folders(MODEL) == (target, None)
    assert own_folders("org/of-the-hub") == (None, None)
    with pytest.raises(InvalidModel):
        own_folders("ft:org/bert:tunery::gone")
    weights = target / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(Unavailable) as caught:
        own_folders(MODEL)
    assert caught.value.code == "artifact_corrupt"


def test_the_row_says_what_the_folder_holds(sealed: Path):
    target = place(sealed, model_id=MODEL)
    publish_it(target)
    from app.model.models import Model

    with reading() as session:
        row = session.get(Model, MODEL)
    assert row is not None
    assert row.path == f"models/{target.name}"
    assert row.config == json.loads((target / "config.json").read_text())
    assert row.size_bytes == read_manifest(target).size_bytes


def test_only_old_folders_that_no_model_owns_are_strays(sealed: Path):
    published = place(sealed, model_id=MODEL)
    publish_it(published)
    models = published.parent
    for name in (".tmp-model-1-77", "model-without-row", "model-being-written"):
        bert_folder(models / name)
    day_ago = time.time() - 86_400
    for path in [published, models / ".tmp-model-1-77", models / "model-without-row", models / "model-being-written"]:
        for each in (*path.iterdir(), path):
            os.utime(each, (day_ago, day_ago))
    (models / "model-being-written" / "vocab.txt").write_text("more")

    assert remove_strays(older_than=timedelta(hours=1)) == [".tmp-model-1-77", "model-without-row"]
    assert {path.name for path in models.iterdir()} == {published.name, "model-being-written"}
    verify(published)
