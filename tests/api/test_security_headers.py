"""What browsers are told, names that files are sent under, and bodies that have no end."""

import re

import pytest

from tests.api.test_refused_jobs import ROWS

BOUNDARY = "cut"
FORM = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}


def assert_headers(answer):
    headers = answer.headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["referrer-policy"] in {"no-referrer", "same-origin"}
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "unsafe-inline" not in headers["content-security-policy"].partition("script-src")[2].partition(";")[0]
    assert headers["cache-control"] in {"no-store", "no-cache"}
    assert "server" not in headers or "/" not in headers["server"]


@pytest.mark.parametrize(
    "path",
    ["/", "/docs", "/openapi.json", "/jobs", "/jobs/none", "/nowhere", "/health/live", "/metrics", "/v1/models", "/hub-token",
     "/models/a/b/info", "/dashboard/assets/js/main.js", "/docs/assets/swagger-ui.css", "/jobs?limit=x"],
)  # fmt: skip
def test_every_answer_has_them(client, path):
    assert_headers(client.get(path))


def test_so_have_refusals_and_faults(client, monkeypatch):
    assert_headers(client.get("/jobs", headers={"host": "evil.example"}))
    assert_headers(client.post("/jobs", content=b"{", headers={"content-type": "application/json"}))
    assert_headers(client.post("/jobs", content=b"x" * 3_000_000, headers={"content-type": "application/json"}))

    def broken(*_: object) -> None:
        raise RuntimeError("a fault of the service")

    monkeypatch.setattr("app.job.service.list_jobs", broken)
    fault = client.get("/jobs")
    assert fault.status_code == 500
    assert_headers(fault)


def test_what_is_asked_with_a_key_is_kept_by_nobody(client):
    for path in ("/jobs", "/files", "/models", "/hub-token", "/v1/files", "/metrics"):
        assert client.get(path).headers["cache-control"] == "no-store"


def test_the_page_of_the_documentation_runs_its_own_script_and_no_other(client):
    answer = client.get("/docs")
    scripts = re.findall(r"<script>(.*?)</script>", answer.text, re.DOTALL)
    assert len(scripts) == 1
    assert answer.headers["content-security-policy"].count("'sha256-") == 1


NAMES = {
    "a\r\nset-cookie: x=y.jsonl": "aset-cookie: x=y.jsonl",
    'quo"te.jsonl': 'quo"te.jsonl',
    "../../../etc/cron.d/x.jsonl": "x.jsonl",
    "..\\..\\windows\\x.jsonl": "x.jsonl",
    "/etc/passwd": "passwd",
    "gnp\u202elnosj.exe.jsonl": "gnplnosj.exe.jsonl",
    "zero\u200bwidth\ufeff.jsonl": "zerowidth.jsonl",
    "..": "data",
    "": "data",
    "nul\0byte.jsonl": "nulbyte.jsonl",
    "x" * 400 + ".jsonl": "x" * 249 + ".jsonl",
    "r\u00e9sum\u00e9.jsonl": "r\u00e9sum\u00e9.jsonl",
}


@pytest.mark.parametrize("sent", NAMES)
def test_a_file_is_sent_back_under_a_name_that_harms_nobody(client, sent):
    quoted = sent.replace('"', "%22").replace("\r\n", "\x0b")
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{quoted}"\r\n\r\n'
    made = client.post("/files", content=head.encode() + ROWS + f"\r\n--{BOUNDARY}--\r\n".encode(), headers=FORM)
    assert made.status_code in {201, 422}, made.text
    if made.status_code == 422:  # as the form's parser has it: such a head is none
        assert made.json()["error"]["code"] == "malformed_multipart"
        return
    name = made.json()["filename"]
    assert name == NAMES[sent] or '"' in sent
    disposition = client.get(f"/files/{made.json()['id']}/content").headers["content-disposition"]
    assert disposition.isascii()
    assert disposition.isprintable()
    assert re.fullmatch(r"attachment; (filename=\"[^\"\\/]+\"|filename\*=utf-8''[\w.%~-]+)", disposition), disposition


@pytest.mark.parametrize("where", ["before", "after", "header", "part"])
def test_a_form_without_an_end_is_cut_off(client, monkeypatch, where):
    monkeypatch.setattr("app.api.files.get_settings", Small)

    def endless():
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n'.encode()
        match where:
            case "before":
                yield b"\r\n"
            case "after":
                yield head + b"\r\n" + ROWS + f"\r\n--{BOUNDARY}--\r\n".encode()
            case "header":
                yield head + b"x-more: "
            case "part":
                yield head + b"\r\n"
        for _ in range(1000):
            yield ROWS * 100

    answer = client.post("/files", content=endless(), headers=FORM)
    assert answer.status_code in {413, 422}
    assert answer.json()["error"]["code"] in {"upload_too_large", "malformed_multipart"}


class Small:
    max_upload_bytes = 200_000
    max_row_bytes = 10_000
