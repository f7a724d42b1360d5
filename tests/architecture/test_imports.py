"""Imports go one way (docs/architecture.md). Read from the sources, so that lazy imports count too."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "transformers", "datasets", "evaluate", "accelerate", "safetensors", "tokenizers"}
NOUNS = ("job", "key", "file", "model", "prediction", "study", "webhook", "openai", "hub_token")


def imports_of(path: Path) -> set[str]:
    """Every module a file imports, with the names taken from it, wherever in the file the import stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def sources(*folders: str) -> list[Path]:
    files = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    assert files
    return files


def offenders(files: list[Path], forbidden: set[str], *, allowed: set[str] = frozenset()) -> list[str]:
    return [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files
        for name in sorted(imports_of(path))
        if any(name == f or name.startswith(f"{f}.") for f in forbidden)
        and not any(name == a or name.startswith(f"{a}.") for a in allowed)
    ]


def is_prefix_of_allowed(line: str, allowed: set[str]) -> bool:
    """``from app.prediction import wire`` imports the package app.prediction too; that is no offence."""
    name = line.rpartition(" ")[2]
    return any(a.startswith(f"{name}.") for a in allowed)


def test_the_app_imports_neither_torch_nor_the_worker():
    assert offenders(sources("app"), HEAVY | {"worker"}) == []


def test_the_worker_process_imports_no_torch():
    assert offenders(sorted((ROOT / "worker").glob("*.py")), HEAVY) == []


def test_only_the_api_knows_fastapi():
    files = [p for p in sources("app", "worker") if "api" not in p.parts and p != ROOT / "app/main.py"]
    assert offenders(files, {"fastapi", "starlette"}) == []


CONTRACT = {
    "app.spec",
    "app.dataset",
    "app.manifest",
    "app.errors",
    "app.ids",
    "app.clock",
    "app.disk",
    "app.failpoints",
}


@pytest.mark.parametrize(
    ("side", "allowed"),
    [
        ("trainer", CONTRACT | {"app.model.inspection"}),
        (
            "predictor",
            CONTRACT
            | {
                "app.prediction.wire",
                "app.prediction.curve",
                "app.config",
                "app.log",
                "app.metrics.tally",
                "app.storage",
            },
        ),
        (
            "batch_prediction",
            CONTRACT
            | {"app.prediction.wire", "app.prediction.schemas", "app.prediction.sampling", "app.prediction.shapes"},
        ),
        ("export", CONTRACT),
    ],
)
def test_the_trainer_knows_the_contract_alone_and_neither_knows_database_or_broker(side, allowed):
    files = sources(f"worker/{side}")
    assert offenders(files, {"sqlalchemy", "celery", "redis", "pydantic_settings"}) == []
    inside = [line for line in offenders(files, {"app"}, allowed=allowed) if not is_prefix_of_allowed(line, allowed)]
    assert inside == []


def test_the_contract_knows_neither_http_nor_sql():
    forbidden = {"sqlalchemy", "fastapi", "celery", "redis", "app.db", "app.job", "app.file", "app.model", "app.config"}
    assert offenders(sources("app/spec", "app/dataset"), forbidden) == []


def test_nouns_do_not_import_the_api():
    assert offenders(sources(*(f"app/{noun}" for noun in NOUNS), "app/db"), {"app.api", "app.main", "app.cli"}) == []


def test_routes_speak_to_services_not_to_repositories():
    assert offenders(sources("app/api"), {f"app.{noun}.repository" for noun in NOUNS} | {"app.db", "sqlalchemy"},
                     allowed={"sqlalchemy.exc"}) == []  # fmt: skip


def test_only_transactions_commit():
    guilty = [
        str(path.relative_to(ROOT))
        for path in sources("app", "worker")
        if re.search(r"(session|connection|conn)\.commit\(", path.read_text(encoding="utf-8"))
    ]
    assert guilty == []


def test_importing_the_server_loads_no_heavy_module():
    heavy = HEAVY | {"pyarrow", "numpy"}  # for uploads, which a server that predicts may never take
    code = f"import app.main, sys; print(sorted({heavy!r} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert loaded.strip() == "[]"


def test_the_predictor_listens_before_it_has_imported_torch():
    code = f"import worker.predictor.server, sys; print(sorted({HEAVY!r} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert loaded.strip() == "[]"


def test_importing_the_worker_loads_no_heavy_module():
    code = f"import worker.main, sys; print(sorted({HEAVY!r} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert loaded.strip() == "[]"


def test_the_client_knows_schemas_alone():
    allowed = {"app.client", "app.ids", *(f"app.{noun}.schemas" for noun in NOUNS)}
    files = sources("app/client")
    assert offenders(files, HEAVY | {"fastapi", "starlette", "sqlalchemy", "celery", "redis", "typer", "rich"}) == []
    inside = [line for line in offenders(files, {"app"}, allowed=allowed) if not is_prefix_of_allowed(line, allowed)]
    assert [line for line in inside if not line.endswith(("imports app", "imports app.ids"))] == []


def test_importing_the_client_loads_neither_server_nor_database():
    forbidden = HEAVY | {"fastapi", "starlette", "sqlalchemy", "celery", "redis", "pydantic_settings", "typer"}
    code = f"from app.client import Tunery; import sys; print(sorted({forbidden!r} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert loaded.strip() == "[]"


def test_commands_speak_http_through_the_client():
    assert offenders(sources("app/cli"), {"httpx2", "httpx", "urllib.request", "requests"}) == []
