"""Error and warning codes, read from the sources: every way this code base writes one down.

The command line and the client are left out: their own errors never leave them.
"""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from app import errors

ROOT = Path(__file__).parents[2]
KINDS = ("model", "dataset")
"""What ``{kind}`` stands for in the codes that the hub's refusals are put together from."""

STATUSES = {
    name: value.status
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, errors.ServiceError)
}


def sources() -> Iterator[tuple[Path, ast.Module]]:
    for package in ("app", "worker"):
        for path in sorted((ROOT / package).rglob("*.py")):
            if not any(path.is_relative_to(ROOT / "app" / side) for side in ("cli", "client")):
                yield path, ast.parse(path.read_text())


def answers() -> dict[str, set[str]]:
    """By code: the HTTP statuses it is raised with where the call shows them, and ``job`` for what a trainer raises."""
    found: dict[str, set[str]] = defaultdict(set)
    for path, tree in sources():
        in_a_job = path.is_relative_to(ROOT / "worker")
        for code in _codes(tree):
            found[code] |= {"job"} if in_a_job and "predictor" not in path.parts else set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in STATUSES:
                for code in _constants(_keyword(node, "code"), tree):
                    found[code] |= set() if in_a_job else {str(STATUSES[node.func.id])}
    for error in vars(errors).values():
        if isinstance(error, type) and issubclass(error, errors.ServiceError):
            found[error.code].add(str(error.status))
    return dict(found)


def warnings() -> set[str]:
    found = set()
    for path, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "warn":
                found |= _constants(node.args[0], tree)
            elif isinstance(node, ast.Dict) and _is_warning(node, path):
                found |= _constants(_member(node, "code"), tree)
    return found


def _codes(tree: ast.Module) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            found |= _constants(_keyword(node, "code"), tree)
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                found |= _assigned(target, node.value, tree)
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            found |= _assigned(node.target, node.value, tree)
        elif isinstance(node, ast.For):
            found |= _iterated(node, tree)
        elif isinstance(node, ast.match_case) and _passes_the_code_on(node):
            found |= {p.value.value for p in ast.walk(node.pattern) if isinstance(p, ast.MatchValue)}
        elif isinstance(node, ast.Dict) and _member(node, "param") is not None:  # the error of a job
            found |= _constants(_member(node, "code"), tree)
    return found


def _keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((keyword.value for keyword in call.keywords if keyword.arg == name), None)


def _member(node: ast.Dict, name: str) -> ast.expr | None:
    return next(
        (value for key, value in zip(node.keys, node.values, strict=True) if _constants(key, None) == {name}), None
    )


def _is_warning(node: ast.Dict, path: Path) -> bool:
    """``{"code", "message"}`` of a data report, or ``{"code"}`` in the data of an event the worker's relay appends."""
    names = {key.value for key in node.keys if isinstance(key, ast.Constant)}
    return names == {"code", "message"} or (names == {"code"} and path.name == "relay.py")


def _constants(node: ast.expr | None, tree: ast.Module | None) -> set[str]:
    """The strings an expression can be; none for what is only known at run time."""
    if isinstance(node, ast.Constant):
        return {node.value} if isinstance(node.value, str) else set()
    if isinstance(node, ast.IfExp):
        return _constants(node.body, tree) | _constants(node.orelse, tree)
    if isinstance(node, ast.JoinedStr) and tree is not None:
        return _put_together(node, tree)
    return set()


def _put_together(node: ast.JoinedStr, tree: ast.Module) -> set[str]:
    found = {""}
    for part in node.values:
        if isinstance(part, ast.Constant):
            ends = {part.value}
        elif isinstance(part, ast.FormattedValue) and isinstance(part.value, ast.Name):
            ends = set(KINDS) if part.value.id == "kind" else _passed(part.value.id, tree)
        else:
            return set()
        found = {start + end for start in found for end in ends}
    return found


def _passed(name: str, tree: ast.Module) -> set[str]:
    """What a parameter is given by name anywhere in the same module."""
    return {
        text for call in ast.walk(tree) if isinstance(call, ast.Call) for text in _constants(_keyword(call, name), None)
    }


def _assigned(target: ast.expr, value: ast.expr, tree: ast.Module) -> set[str]:
    if isinstance(target, ast.Name) and target.id == "code":
        return _constants(value, tree)
    place = _place_of_code(target)
    if place is None:
        return set()
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name):
        return _returned(value.func.id, place, tree)
    return _constants(value.elts[place], tree) if isinstance(value, ast.Tuple) else set()


def _place_of_code(target: ast.expr) -> int | None:
    if not isinstance(target, ast.Tuple):
        return None
    return next((i for i, e in enumerate(target.elts) if isinstance(e, ast.Name) and e.id == "code"), None)


def _returned(function: str, place: int, tree: ast.Module) -> set[str]:
    """What a function of the module returns at one place of its tuples."""
    body = next(n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == function)
    tuples = [n.value for n in ast.walk(body) if isinstance(n, ast.Return) and isinstance(n.value, ast.Tuple)]
    return {text for each in tuples for text in _constants(each.elts[place], tree)}


def _iterated(loop: ast.For, tree: ast.Module) -> set[str]:
    """``for …, (code, …) in TABLE.items()``, where ``TABLE`` is a dict of tuples in the module."""
    place = next((p for node in ast.walk(loop.target) if (p := _place_of_code(node)) is not None), None)
    if place is None:
        return set()
    names = {node.id for node in ast.walk(loop.iter) if isinstance(node, ast.Name)}
    tables = [
        node.value
        for node in tree.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id in names
    ]
    rows = [row for table in tables if isinstance(table, ast.Dict) for row in table.values]
    return {text for row in rows if isinstance(row, ast.Tuple) for text in _constants(row.elts[place], tree)}


def _passes_the_code_on(case: ast.match_case) -> bool:
    values = [keyword.value for node in ast.walk(case) if isinstance(node, ast.Call) for keyword in node.keywords]
    return any(isinstance(value, ast.Attribute) and value.attr == "code" for value in values) and all(
        isinstance(pattern.value, ast.Constant)
        for pattern in ast.walk(case.pattern)
        if isinstance(pattern, ast.MatchValue)
    )
