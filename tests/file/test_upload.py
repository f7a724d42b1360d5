"""Uploads over HTTP: checked while they come, stored durably, and leaving nothing behind when refused."""

import errno
import hashlib
import json
import re
from io import BytesIO

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.config import get_settings
from app.file import upload
from app.manifest import verify
from tests.conftest import reset_process_state

ROWS = [{"text": f"text {i}", "label": i % 2} for i in range(10)]
JSONL = "".join(json.dumps(row) + "\n" for row in ROWS).encode()


def post(client, data: bytes, *, filename: str = "train.jsonl", **fields):
    return client.post("/files", files={"file": (filename, data)}, data=fields)


def stored_paths() -> list[str]:
    return [path.name for path in (get_settings().artefacts_dir / "files").rglob("*")]


def test_a_good_file_is_stored_and_answered_with_its_profile(client):
    answer = post(client, JSONL)
    assert answer.status_code == 201
    file = answer.json()
    assert re.fullmatch(r"file-[0-9a-f]{32}", file["id"])
    assert answer.headers["location"] == f"/files/{file['id']}"
    expected = {
        "object": "file", "bytes": len(JSONL), "filename": "train.jsonl", "purpose": "fine-tune", "format": "jsonl",
        "sha256": hashlib.sha256(JSONL).hexdigest(), "status": "processed", "num_rows": 10,
    }  # fmt: skip
    assert {name: file[name] for name in expected} == expected
    assert file["created_at"].endswith(("Z", "+00:00"))
    label = next(column for column in file["profile"]["columns"] if column["name"] == "label")
    assert [(value["value"], value["count"]) for value in label["values"]] == [(0, 5), (1, 5)]
    assert client.get(f"/files/{file['id']}").json() == file
    verify(get_settings().artefacts_dir / "files" / file["id"])


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_the_content_comes_back_byte_for_byte(client, kind):
    out = BytesIO()
    pq.write_table(pa.Table.from_pylist(ROWS), out)
    csv = b"text,label\r\n" + b"".join(f"{row['text']},{row['label']}\r\n".encode() for row in ROWS)
    data = {"jsonl": b"\xef\xbb\xbf" + JSONL, "csv": csv, "parquet": out.getvalue()}[kind]
    file = post(client, data, filename=f"train.{kind}").json()
    assert (file["format"], file["num_rows"]) == (kind, 10)
    content = client.get(f"/files/{file['id']}/content")
    assert content.content == data
    assert content.headers["content-disposition"].startswith("attachment")
    assert {c["name"]: list(c["kinds"]) for c in file["profile"]["columns"]} == {
        "text": ["string"],
        "label": ["integer"],
    }


@pytest.mark.parametrize("purpose_first", [True, False])
@pytest.mark.parametrize("purpose", ["fine-tune", "assistants"])
def test_the_purpose_may_come_before_or_after_the_file(client, purpose, purpose_first):
    parts = [("purpose", (None, purpose)), ("file", ("train.jsonl", JSONL))]
    answer = client.post("/files", files=parts if purpose_first else parts[::-1])
    if purpose == "fine-tune":
        assert answer.status_code == 201
    else:
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_purpose")
        assert answer.json()["error"]["param"] == "purpose"
        assert stored_paths() == []


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("../../etc/x", "x"),
        ("..\\..\\windows\\train.jsonl", "train.jsonl"),
        ("/etc/passwd", "passwd"),
        ("..", "data"),
        ("trän ☃.jsonl", "trän ☃.jsonl"),
        ("a\x00b\x1b.jsonl", "ab.jsonl"),
        ("x" * 300 + ".jsonl", "x" * 249 + ".jsonl"),
        (None, "data"),
    ],
)
def test_a_file_name_is_shown_and_never_a_path(sent, kept):
    assert upload.safe_filename(sent) == kept


def test_a_file_named_like_a_path_lies_under_its_id(client):
    file = post(client, JSONL, filename="../../etc/x").json()
    assert file["filename"] == "x"
    assert sorted(stored_paths()) == sorted([file["id"], "data.jsonl", "manifest.json"])


@pytest.mark.parametrize(
    ("data", "filename", "status", "code", "row"),
    [
        (JSONL * 471 + b"{broken\n" + JSONL, "a.jsonl", 422, "invalid_json", 4711),
        (b"", "a.jsonl", 422, "empty_file", None),
        (b"text,label\n", "a.csv", 422, "no_rows", None),
        (b"text,text\na,b\n", "a.csv", 422, "duplicate_column", None),
        (b'{"text": "caf\xe9"}\n', "a.jsonl", 422, "not_utf8", 1),
        (b'{"text": "a\x00"}\n', "a.jsonl", 422, "nul_byte", 1),
        (b"\x1f\x8b\x08" + JSONL, "a.jsonl", 422, "archive_not_supported", None),
        (JSONL + b'{"text": "' + b"x" * 5_000_000 + b'"}', "a.jsonl", 413, "row_too_long", 11),
        (b"PAR1 but broken PAR1", "a.parquet", 422, "not_parquet", None),
    ],
    ids=["json", "empty", "header", "duplicate", "utf8", "nul", "gzip", "long", "parquet"],
)
def test_a_bad_file_is_refused_with_code_and_row_and_leaves_nothing(client, data, filename, status, code, row):
    answer = post(client, data, filename=filename)
    body = answer.json()
    assert (answer.status_code, body["error"]["code"], body["error"]["param"]) == (status, code, "file")
    assert [problem["row"] for problem in body["errors"]] == ([row] if row else [])
    assert stored_paths() == []
    assert client.get("/files").json()["data"] == []


@pytest.mark.parametrize(
    ("files", "code", "param"),
    [
        ({"data": ("a.jsonl", JSONL)}, "unknown_parameter", "data"),
        ({"purpose": (None, "fine-tune")}, "missing_parameter", "file"),
        ([("file", ("a.jsonl", JSONL)), ("file", ("b.jsonl", JSONL))], "duplicate_part", "file"),
    ],
)
def test_a_form_that_is_not_as_asked_for_is_refused(client, files, code, param):
    answer = client.post("/files", files=files)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, code)
    assert answer.json()["error"]["param"] == param
    assert stored_paths() == []


def test_a_body_that_ends_early_leaves_nothing(client):
    head = b'--cut\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n'
    headers = {"content-type": "multipart/form-data; boundary=cut"}
    answer = client.post("/files", content=head + JSONL, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "malformed_multipart")
    assert stored_paths() == []


def test_a_file_larger_than_allowed_is_refused(client, monkeypatch):
    monkeypatch.setenv("TUNERY_MAX_UPLOAD_BYTES", "1000")
    reset_process_state()

    def parts():
        yield b'--cut\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n'
        yield from [JSONL] * 10
        yield b"\r\n--cut--\r\n"

    answer = client.post("/files", content=parts(), headers={"content-type": "multipart/form-data; boundary=cut"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "upload_too_large")
    assert stored_paths() == []
    assert post(client, JSONL * 200).status_code == 413


def test_a_full_disk_is_told_and_leaves_nothing(client, monkeypatch):
    """No disk is filled for this: a file that refuses every write as a full disk does takes the place of the real one."""

    class FullFile(BytesIO):
        def write(self, data) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pathlib.Path.open", lambda *args, **kwargs: FullFile())
    answer = post(client, JSONL)
    monkeypatch.undo()
    assert (answer.status_code, answer.json()["error"]["code"]) == (507, "out_of_space")
    assert stored_paths() == []
