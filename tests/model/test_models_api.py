"""``/models`` as a client sees it: real multipart bodies into the real application on a real database."""

import hashlib
import io
import json
import tracemalloc
import zipfile
from pathlib import Path
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient

from app.clock import utc_now
from app.config import get_settings
from app.db import transaction
from app.job.models import Job
from app.job.states import JobStatus
from app.manifest import CorruptArtefactError, seal
from app.model import service
from app.model.archive import ArchivedFolder, stream_zip
from app.model.publishing import place, publish
from app.spec.serving import ServingSpec
from tests.hub.builders import bert_folder, safetensors

FINE_TUNED = "ft:google-bert/bert-base-uncased:tunery:paraphrase:019a"


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    return bert_folder(tmp_path / "bert")


def register(client: TestClient, folder: Path, name: str = "acme/tiny-bert", **extra: bytes):
    files = [("files", (path.name, path.read_bytes())) for path in sorted(folder.iterdir())]
    files += [("files", (extra_name, content)) for extra_name, content in extra.items()]
    return client.post("/models", data={"name": name}, files=files)


def code(response) -> str:
    body = response.json()
    assert body["status"] == response.status_code
    return body["error"]["code"]


def leftovers() -> list[str]:
    folder = get_settings().artefacts_dir / "models"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def finished_model(tmp_path: Path, model_id: str = FINE_TUNED) -> Path:
    """What a trainer leaves, published as the worker does it."""
    run = bert_folder(tmp_path / f"run-{model_id.rpartition(':')[2]}" / "model")
    config = json.loads((run / "config.json").read_text()) | {"id2label": {"0": "different", "1": "same"}}
    (run / "config.json").write_text(json.dumps(config))
    serving = ServingSpec(
        task="text-classification",
        base_model="google-bert/bert-base-uncased",
        labels=["different", "same"],
        text_fields=["sentence1", "sentence2"],
        max_length=64,
        precision="float32",
    )
    (run / "tunery.json").write_text(serving.model_dump_json())
    (run / "README.md").write_text("# A model\n<script>alert(1)</script>\n")
    seal(run, about={"step": 12})
    folder = place(run, model_id=model_id)
    with transaction() as session:
        publish(
            session,
            model_id=model_id,
            job_id="ftjob-019a",
            base_model="google-bert/bert-base-uncased",
            task="text-classification",
            folder=folder,
            metrics={"eval/f1": 0.9},
        )
    return folder


def unfinished_job(model: str, *, status: JobStatus = JobStatus.QUEUED) -> None:
    spec = {"model": model, "dataset": {"train": "file-1"}}
    with transaction() as session:
        session.add(
            Job(
                id=f"ftjob-{status}",
                status=status,
                spec=spec,
                requested_spec=spec,
                job_metadata={},
                created_at=utc_now(),
                not_before=utc_now(),
                progress={},
                warnings=[],
                timings={},
            )
        )


def test_a_registered_model_is_told_as_it_was_sent(client: TestClient, bert: Path):
    created = register(client, bert)
    assert created.status_code == 201, created.text
    weights = hashlib.sha256((bert / "model.safetensors").read_bytes()).hexdigest()
    assert created.json() | {"created_at": None} == {
        "id": "acme/tiny-bert",
        "kind": "registered",
        "base_model": None,
        "job_id": None,
        "task": None,
        "labels": None,
        "metrics": {},
        "weights_sha256": weights,
        "base_sha256": None,
        "shared": False,
        "size_bytes": sum(path.stat().st_size for path in bert.iterdir()),
        "created_at": None,
    }
    assert created.json()["created_at"].endswith("Z")

    for path in ("/models/acme/tiny-bert", "/models/acme%2Ftiny-bert", created.headers["location"]):
        found = client.get(path).json()
        assert found["id"] == "acme/tiny-bert"
    assert {file["name"]: file["sha256"] for file in found["files"]} == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in bert.iterdir()
    }
    assert found["config"]["model_type"] == "bert"
    assert found["card"] is None


def test_registering_the_same_again_changes_nothing_and_another_is_a_conflict(client: TestClient, bert: Path):
    first = register(client, bert)
    again = register(client, bert)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()
    (bert / "model.safetensors").write_bytes(safetensors({"other": [3]}))
    other = register(client, bert)
    assert (other.status_code, code(other)) == (409, "model_exists")
    assert other.headers["x-should-retry"] == "false"
    assert len(leftovers()) == 1


def test_files_of_no_use_are_not_kept(client: TestClient, bert: Path):
    created = register(client, bert, **{".gitattributes": b"*", "trainer_state.json": b"{}", "README.md": b"# hi"})
    assert created.status_code == 201, created.text
    found = client.get("/models/acme/tiny-bert").json()
    assert {file["name"] for file in found["files"]} == {*(path.name for path in bert.iterdir()), "README.md"}
    assert found["card"] == "# hi"


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("pytorch_model.bin", b"\x80\x04", "model_not_safetensors"),
        ("training_args.bin", b"\x80\x04", "model_not_safetensors"),
        ("modeling_evil.py", b"import os", "model_has_remote_code"),
        ("../../escape.safetensors", b"x", "model_file_not_allowed"),
        ("/etc/passwd", b"x", "model_file_not_allowed"),
        ("sub/model.safetensors", b"x", "model_file_not_allowed"),
        ("..safetensors", b"x", "model_file_not_allowed"),
        ("adapter_config.json", b"{}", "model_file_not_allowed"),
        ("adapter_model.safetensors", b"x", "model_file_not_allowed"),
        ("config.json", b"{}", "model_file_twice"),
        ("tunery.json", b'{"task": "x"}', "model_file_invalid"),
        ("special_tokens_map.json", b"{", "model_file_invalid"),
        ("model.safetensors.index.json", b'{"weight_map": {"a": "absent.safetensors"}}', "model_weights_broken"),
        ("model.safetensors.index.json", b'{"weight_map": {"a": "model.safetensors"}}', "model_weights_broken"),
        ("model.safetensors.index.json", b'{"weight_map": {"a": "../x"}}', "model_weights_broken"),
    ],
)
def test_a_file_that_does_not_belong_refuses_the_model(
    client: TestClient, bert: Path, tmp_path: Path, name: str, content: bytes, expected: str
):
    answer = register(client, bert, **{name: content})
    assert (answer.status_code, code(answer)) == (422, expected)
    assert leftovers() == []
    assert not list(tmp_path.rglob("escape*"))


@pytest.mark.parametrize(
    ("file", "content", "expected"),
    [
        ("config.json", b'{"model_type": "bert", "auto_map": {"AutoModel": "x.Y"}}', "model_has_remote_code"),
        ("tokenizer_config.json", b'{"auto_map": ["x.Y", null]}', "model_has_remote_code"),
        ("tokenizer_config.json", b'{"vocab_file": "/etc/passwd"}', "model_config_unsafe"),
        ("config.json", b'{"model_type": "vit"}', "model_unsupported"),
        ("config.json", b"{", "model_config_invalid"),
        ("model.safetensors", b"\x80\x04pickle", "model_weights_broken"),
    ],
)
def test_an_evil_or_broken_model_is_refused_and_forgotten(
    client: TestClient, bert: Path, file: str, content: bytes, expected: str
):
    (bert / file).write_bytes(content)
    answer = register(client, bert)
    assert (answer.status_code, code(answer)) == (422, expected)
    assert leftovers() == []
    assert client.get("/models").json()["data"] == []


@pytest.mark.parametrize(
    "name",
    [
        "",
        "../x",
        "/etc/passwd",
        "a/b/c",
        "ft:a:b:c:d",
        "ftjob-1",
        "http://x",
        "a--b",
        "org/info",
        "org/download",
        "x" * 500,
    ],
)
def test_a_bad_name_is_refused(client: TestClient, bert: Path, name: str):
    answer = register(client, bert, name)
    assert answer.status_code == 422
    assert leftovers() == []


def test_a_form_without_name_or_with_unknown_parts_is_refused(client: TestClient):
    unnamed = client.post("/models", files=[("files", ("vocab.txt", b"a"))])
    assert (unnamed.status_code, code(unnamed)) == (422, "missing_parameter")
    unknown = client.post("/models", data={"nome": "x"}, files=[("files", ("vocab.txt", b"a"))])
    assert (unknown.status_code, code(unknown)) == (422, "unknown_parameter")
    assert client.post("/models", json={"name": "x"}).status_code == 422


def test_a_model_above_the_limit_is_refused(client: TestClient, bert: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TUNERY_MAX_MODEL_BYTES", "1000")
    get_settings.cache_clear()
    answer = register(client, bert)
    assert (answer.status_code, code(answer)) == (413, "upload_too_large")
    assert leftovers() == []


def test_a_model_in_shards_is_taken(client: TestClient, bert: Path):
    (bert / "model.safetensors").unlink()
    index = {}
    for number in (1, 2):
        name = f"model-{number:05}-of-00002.safetensors"
        (bert / name).write_bytes(safetensors({f"layer{number}": [number]}))
        index[f"layer{number}"] = name
    (bert / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    assert register(client, bert).status_code == 201


def test_models_are_listed_newest_first_page_by_page(client: TestClient, bert: Path):
    names = [f"model-{number}" for number in range(5)]
    for name in names:
        assert register(client, bert, name).status_code == 201
    seen, after = [], None
    while True:
        page = client.get("/models", params={"limit": 2} | ({"after": after} if after else {})).json()
        seen += [model["id"] for model in page["data"]]
        assert (page["first_id"], page["last_id"]) == (page["data"][0]["id"], page["data"][-1]["id"])
        after = page["last_id"]
        if not page["has_more"]:
            break
    assert seen == names[::-1]
    assert client.get("/models", params={"after": "none"}).status_code == 422
    assert client.get("/models", params={"limit": 0}).status_code == 422


@pytest.mark.parametrize("quoted", [FINE_TUNED, quote(FINE_TUNED, safe="")])
def test_a_finished_model_is_found_and_downloaded_under_its_id(client: TestClient, tmp_path: Path, quoted: str):
    folder = finished_model(tmp_path)
    found = client.get(f"/models/{quoted}").json()
    assert (found["id"], found["kind"], found["job_id"]) == (FINE_TUNED, "fine-tuned", "ftjob-019a")
    assert (found["task"], found["labels"]) == ("text-classification", ["different", "same"])
    assert found["metrics"] == {"eval/f1": 0.9}

    answer = client.get(f"/models/{quoted}/download")
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"] == (
        'attachment; filename="ft_google-bert_bert-base-uncased_tunery_paraphrase_019a.zip"'
    )
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        contents = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
    assert contents == {p.name: p.read_bytes() for p in folder.iterdir() if p.name != "manifest.json"}
    assert client.get(f"/models/{quoted}/download").content == answer.content


def test_a_downloaded_model_can_be_registered_elsewhere(client: TestClient, tmp_path: Path):
    finished_model(tmp_path)
    archive = zipfile.ZipFile(io.BytesIO(client.get(f"/models/{FINE_TUNED}/download").content))
    archive.extractall(tmp_path / "unpacked")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    created = register(client, unpacked, "copy")
    assert created.status_code == 201, created.text
    assert created.json()["base_model"] == "google-bert/bert-base-uncased"
    assert created.json()["labels"] == ["different", "same"]


def test_a_damaged_model_is_never_sent_as_whole(client: TestClient, tmp_path: Path):
    folder = finished_model(tmp_path)
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-7] ^= 1
    weights.write_bytes(content)
    _, blocks = service.download(FINE_TUNED)
    sent = []
    with pytest.raises(CorruptArtefactError):
        sent.extend(blocks)
    with pytest.raises(zipfile.BadZipFile):
        zipfile.ZipFile(io.BytesIO(b"".join(sent)))
    weights.write_bytes(content[:-1])
    short = client.get(f"/models/{FINE_TUNED}/download")
    assert (short.status_code, code(short)) == (503, "artifact_corrupt")
    assert code(client.get(f"/models/{FINE_TUNED}")) == "artifact_corrupt"


def test_a_download_takes_no_more_memory_than_some_blocks(client: TestClient, tmp_path: Path):
    folder = tmp_path / "big"
    folder.mkdir()
    with (folder / "model.safetensors").open("wb") as file:
        file.truncate(64 * 2**20)
    manifest = seal(folder, about={})
    tracemalloc.start()
    try:
        total = sum(
            len(block)
            for block in stream_zip([ArchivedFolder(path=folder, files=manifest.files, name="big")], stamp=utc_now())
        )
        assert total > 64 * 2**20
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()


def test_an_unknown_model_is_not_found(client: TestClient):
    for path in ("/models/none", "/models/none/download", "/models/ft:a/b:c:d:e/download", "/models/..%2f..%2fetc"):
        answer = client.get(path)
        assert (answer.status_code, code(answer)) == (404, "model_not_found"), path
    assert client.delete("/models/none").status_code == 404


def test_a_model_is_deleted_once_no_unfinished_job_needs_it(client: TestClient, bert: Path):
    register(client, bert)
    unfinished_job("acme/tiny-bert")
    refused = client.delete("/models/acme%2Ftiny-bert")
    assert (refused.status_code, code(refused)) == (409, "model_in_use")
    with transaction() as session:
        job = session.get(Job, "ftjob-queued")
        assert job is not None
        job.status = JobStatus.CANCELLED
    assert client.delete("/models/acme%2Ftiny-bert").json() == {"id": "acme/tiny-bert", "deleted": True}
    assert client.get("/models/acme/tiny-bert").status_code == 404
    assert leftovers() == []
    assert register(client, bert).status_code == 201
