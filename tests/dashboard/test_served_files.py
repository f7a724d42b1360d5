"""What a browser is sent, without a browser."""

import gzip
import re
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.config import get_settings
from app.dashboard import service
from app.main import create_app

FILES = sorted(path.relative_to(service.FOLDER).as_posix() for path in service.FOLDER.rglob("*.*")
               if path.suffix in {".js", ".css", ".svg"})  # fmt: skip
MOST_LINES = 300


def test_every_file_is_served_with_its_type(client):
    types = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
    assert len(FILES) > 30
    for name in FILES:
        answer = client.get(f"/dashboard/assets/{name}")
        assert answer.status_code == 200, name
        assert answer.headers["content-type"].startswith(types[Path(name).suffix])
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_file_is_sent_once_and_anew_after_an_upgrade(client, tmp_path, monkeypatch):
    monkeypatch.setattr(service, "FOLDER", tmp_path)
    (tmp_path / "js").mkdir()
    script = tmp_path / "js/main.js"
    script.write_text("let version = 1;")
    first = client.get("/dashboard/assets/js/main.js")
    assert first.headers["cache-control"] == "no-cache"
    again = {"if-none-match": first.headers["etag"]}
    same = client.get("/dashboard/assets/js/main.js", headers=again)
    assert (same.status_code, same.content) == (304, b"")
    script.write_text("let version = 2;;")
    anew = client.get("/dashboard/assets/js/main.js", headers=again)
    assert (anew.status_code, anew.text) == (200, "let version = 2;;")


def test_the_charts_come_packed_to_who_can_unpack_them(client):
    with client.stream("GET", "/dashboard/plotly.min.js", headers={"accept-encoding": "gzip"}) as packed:
        raw = b"".join(packed.iter_raw())
    plain = client.get("/dashboard/plotly.min.js", headers={"accept-encoding": "identity"})
    assert len(raw) < 1_600_000
    assert len(plain.content) > 4_000_000
    assert gzip.decompress(raw) == plain.content
    assert packed.headers["etag"] != plain.headers["etag"]
    assert packed.headers["vary"] == "accept-encoding"
    refused = client.get("/dashboard/plotly.min.js", headers={"accept-encoding": "gzip;q=0"})
    assert "content-encoding" not in refused.headers


@pytest.mark.parametrize(
    "name",
    ["service.py", "__init__.py", "index.html", "../config.py", "%2e%2e/config.py", "js/../service.py",
     "js/../../config.py", "js", "js/none.js", "js/a%00.js", "%2Fetc/passwd"],
)  # fmt: skip
def test_nothing_else_is_served(client, name):
    assert client.get(f"/dashboard/assets/{name}").status_code == 404


def test_the_page_allows_its_own_scripts_and_styles_alone(client):
    answer = client.get("/")
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son\w+=", answer.text)
    assert client.head("/").status_code == 200


def test_the_files_are_open_where_all_else_asks_for_a_key(sqlite_home, monkeypatch):
    monkeypatch.setenv("TUNERY_FIRST_API_KEY", "sk-secret")
    get_settings.cache_clear()
    with TestClient(create_app(), base_url="http://127.0.0.1:8000") as client:
        assert client.get("/").status_code == 200
        assert client.get("/dashboard/assets/js/main.js").status_code == 200
        assert client.get("/jobs").status_code == 401
        assert client.get("/docs").status_code == 401


def test_no_file_is_long_or_builds_html_from_text():
    for name in FILES:
        text = (service.FOLDER / name).read_text()
        assert len(text.splitlines()) <= MOST_LINES, name
        if name.endswith(".js"):
            assert not re.search(
                r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|https?://(?!html\.spec|www\.w3)", text
            ), name
