"""A small Hub on 127.0.0.1: enough of the protocol for huggingface_hub, transformers and datasets to load from it.

It serves real files over real HTTP to the real libraries, where the real Hub cannot be reached or must not be asked.
Protocol as huggingface_hub 2.4 speaks it: ``/api/{models,datasets}/ID[/revision|/tree|/paths-info|/auth-check]`` and
``/[datasets/]ID/resolve/REVISION/PATH``.
"""

import hashlib
import json
import re
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

STAMP = "2026-01-01T00:00:00.000Z"


@dataclass
class Repository:
    id: str
    kind: str
    folder: Path
    gated_for: str | None = None
    """Token that may read it; None: everybody may."""
    revisions: set[str] = field(default_factory=lambda: {"main"})

    def files(self) -> dict[str, Path]:
        paths = sorted(path for path in self.folder.rglob("*") if path.is_file())
        return {path.relative_to(self.folder).as_posix(): path for path in paths}

    @property
    def commit(self) -> str:
        """A commit hash that changes with the content."""
        digest = hashlib.sha1(self.id.encode())
        for name, path in self.files().items():
            digest.update(f"{name}\0{oid(path)}\n".encode())
        return digest.hexdigest()

    def knows(self, revision: str) -> bool:
        return revision in self.revisions or revision == self.commit

    def card(self) -> dict[str, Any]:
        readme = self.folder / "README.md"
        match = re.match(r"---\n(.*?)\n---\n", readme.read_text(), re.DOTALL) if readme.exists() else None
        return dict(yaml.safe_load(match[1])) if match else {}


def oid(path: Path) -> str:
    return hashlib.sha1(path.read_bytes()).hexdigest()


class FakeHub:
    """``with FakeHub(root) as hub:`` serves at ``hub.url`` until the block ends."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.requests: list[str] = []
        """``"GET /api/models/…"``, in order."""
        self.delay_seconds = 0.0
        """How long every answer is held back."""
        self.failure: int | None = None
        """Status that every request is answered with, such as 503."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.hub = self  # type: ignore[attr-defined]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Close the port: the hub cannot be reached from now on."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def add_model(self, name: str, folder: Path, *, gated_for: str | None = None) -> Repository:
        """Serve a copy of ``folder`` as the model ``name``."""
        target = self.root / "models" / name
        shutil.copytree(folder, target)
        return self._add(Repository(id=name, kind="models", folder=target, gated_for=gated_for))

    def add_dataset(
        self,
        name: str,
        *,
        files: Mapping[str, Path | bytes],
        configs: list[dict[str, Any]] | None = None,
        gated_for: str | None = None,
    ) -> Repository:
        """Serve ``files`` as the data set ``name``; ``configs`` is the list of that name in the card's YAML."""
        target = self.root / "datasets" / name
        target.mkdir(parents=True)
        for path, content in files.items():
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            (target / path).write_bytes(content if isinstance(content, bytes) else content.read_bytes())
        if configs is not None:
            (target / "README.md").write_text(f"---\n{yaml.safe_dump({'configs': configs})}---\n# {name}\n")
        return self._add(Repository(id=name, kind="datasets", folder=target, gated_for=gated_for))

    def _add(self, repository: Repository) -> Repository:
        self.repositories[repository.kind, repository.id] = repository
        return repository

    def find(self, kind: str, path: str) -> tuple[Repository, str] | None:
        """The repository whose id ``path`` begins with, and the rest of the path."""
        for (its_kind, name), repository in self.repositories.items():
            if its_kind == kind and (path == name or path.startswith(f"{name}/")):
                return repository, path[len(name) :].lstrip("/")
        return None


class _Refusal(Exception):
    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status, self.code = status, code


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def hub(self) -> FakeHub:
        return self.server.hub  # type: ignore[attr-defined, no-any-return]

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        """Tests print nothing."""

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_GET  # noqa: N815 - the name of the base class
    do_POST = do_GET  # noqa: N815

    def _answer(self) -> None:
        self.hub.requests.append(f"{self.command} {self.path}")
        self.body = self.rfile.read(int(self.headers.get("content-length", 0)))
        time.sleep(self.hub.delay_seconds)
        if self.hub.failure is not None:
            self._send(self.hub.failure, b"")
            return
        url = urlsplit(self.path)
        self.query = parse_qs(url.query)
        try:
            self._route(unquote(url.path).lstrip("/"))
        except _Refusal as refusal:
            headers = {"X-Error-Code": refusal.code, "X-Error-Message": refusal.code}
            self._send(refusal.status, json.dumps({"error": refusal.code}).encode(), headers)

    def _route(self, path: str) -> None:
        is_api = path.startswith("api/")
        path = path.removeprefix("api/")
        kind = "datasets" if path.startswith("datasets/") else "models"
        found = self.hub.find(kind, path.removeprefix(f"{kind}/"))
        if found is None:
            raise _Refusal(HTTPStatus.NOT_FOUND, "RepoNotFound")
        repository, rest = found
        action, _, rest = rest.partition("/")
        if is_api:
            self._api(repository, action, rest)
        elif action == "resolve":
            self._check_access(repository)
            _, rest = self._split_revision(repository, rest)
            self._file(repository, rest)
        else:
            raise _Refusal(HTTPStatus.NOT_FOUND, "EntryNotFound")

    def _api(self, repository: Repository, action: str, rest: str) -> None:
        if action in {"", "revision"}:
            if action:
                self._split_revision(repository, rest)
            self._json(_info(repository))
        elif action == "auth-check":
            self._check_access(repository)
            self._json({})
        elif action == "tree":
            _, folder = self._split_revision(repository, rest)
            self._json(list(_tree(repository, folder, recursive="recursive" in self.query)))
        elif action == "paths-info":
            self._split_revision(repository, rest)
            self._json(list(_paths_info(repository, self._requested_paths())))
        else:
            raise _Refusal(HTTPStatus.NOT_FOUND, "EntryNotFound")

    def _requested_paths(self) -> list[str]:
        if "json" in self.headers.get("content-type", ""):
            return list(json.loads(self.body)["paths"])
        return parse_qs(self.body.decode()).get("paths", [])

    def _split_revision(self, repository: Repository, rest: str) -> tuple[str, str]:
        for revision in sorted({*repository.revisions, repository.commit}, key=len, reverse=True):
            if rest == revision or rest.startswith(f"{revision}/"):
                return revision, rest[len(revision) :].lstrip("/")
        raise _Refusal(HTTPStatus.NOT_FOUND, "RevisionNotFound")

    def _check_access(self, repository: Repository) -> None:
        given = self.headers.get("authorization", "").removeprefix("Bearer ")
        if repository.gated_for is not None and given != repository.gated_for:
            raise _Refusal(HTTPStatus.FORBIDDEN if given else HTTPStatus.UNAUTHORIZED, "GatedRepo")

    def _file(self, repository: Repository, name: str) -> None:
        path = repository.files().get(name)
        headers = {"X-Repo-Commit": repository.commit, "Accept-Ranges": "bytes"}
        if path is None:
            self._send(HTTPStatus.NOT_FOUND, b"", {**headers, "X-Error-Code": "EntryNotFound"})
            return
        content = path.read_bytes()
        headers["ETag"] = f'"{oid(path)}"'
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("range", ""))
        if asked is None:
            self._send(HTTPStatus.OK, content, headers)
            return
        start, stop = int(asked[1]), min(int(asked[2] or len(content) - 1), len(content) - 1) + 1
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(content)}"
        self._send(HTTPStatus.PARTIAL_CONTENT, content[start:stop], headers)

    def _json(self, value: object) -> None:
        self._send(HTTPStatus.OK, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, content: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def _info(repository: Repository) -> dict[str, Any]:
    return {
        "_id": repository.commit[:24],
        "id": repository.id,
        "author": repository.id.partition("/")[0],
        "sha": repository.commit,
        "lastModified": STAMP,
        "createdAt": STAMP,
        "private": False,
        "disabled": False,
        "gated": "manual" if repository.gated_for else False,
        "downloads": 0,
        "likes": 0,
        "tags": [],
        "cardData": repository.card(),
        "siblings": [{"rfilename": name} for name in repository.files()],
    }


def _entry(name: str, path: Path) -> dict[str, Any]:
    return {"type": "file", "path": name, "oid": oid(path), "size": path.stat().st_size}


def _directory(name: str) -> dict[str, Any]:
    return {"type": "directory", "path": name, "oid": hashlib.sha1(name.encode()).hexdigest(), "size": 0}


def _folders(repository: Repository) -> set[str]:
    return {parent.as_posix() for name in repository.files() for parent in Path(name).parents} - {"."}


def _tree(repository: Repository, folder: str, *, recursive: bool) -> Iterator[dict[str, Any]]:
    if folder and folder not in _folders(repository):
        raise _Refusal(HTTPStatus.NOT_FOUND, "EntryNotFound")
    prefix = f"{folder}/" if folder else ""
    for name in sorted(_folders(repository)):
        if name.startswith(prefix) and (recursive or "/" not in name[len(prefix) :]):
            yield _directory(name)
    for name, path in repository.files().items():
        if name.startswith(prefix) and (recursive or "/" not in name[len(prefix) :]):
            yield _entry(name, path)


def _paths_info(repository: Repository, paths: list[str]) -> Iterator[dict[str, Any]]:
    files = repository.files()
    for name in paths:
        if name in files:
            yield _entry(name, files[name])
        elif name in _folders(repository):
            yield _directory(name)
