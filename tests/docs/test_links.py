"""Every link of a document into this repository leads somewhere: to a file that is there, and to a heading in it."""

import re
from collections import Counter
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]
)


FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def without_code(text: str) -> str:
    return re.sub(r"`[^`\n]*`", "", FENCED.sub("", text))


def links(text: str) -> list[str]:
    """Targets of inline links and images, and of reference definitions, that stay in the repository."""
    found = re.findall(r"\]\(\s*<?([^)\s>]+)", without_code(text))
    found += re.findall(r"^\[[^\]]+\]:\s*<?([^\s>]+)", without_code(text), re.MULTILINE)
    return [target for target in found if not re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*:|//", target)]


def anchors(text: str) -> set[str]:
    """What GitHub calls the headings: lower case, no punctuation, hyphens for blanks, a number for a second of a name."""
    seen: Counter[str] = Counter()
    found = set()
    for heading in re.findall(r"^#{1,6} +(.+?) *#*$", FENCED.sub("", text), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        name = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        found.add(f"{name}-{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return found


def broken(document: Path) -> list[str]:
    lost = []
    for link in links(document.read_text()):
        path, _, anchor = unquote(link).partition("#")
        target = document.parent / path if path else document
        is_there = target.exists() and target.resolve().is_relative_to(ROOT.resolve())
        if not is_there or (anchor and anchor not in anchors(target.read_text())):
            lost.append(link)
    return lost


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(document: Path) -> None:
    assert broken(document) == []


def test_links_are_found_and_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.docs.test_links.ROOT", tmp_path)
    (tmp_path / "there.md").write_text('# What `"auto"` becomes\n```\n# no heading\n```\n## Twice\n## Twice\n')
    page = tmp_path / "page.md"
    page.write_text(
        "[a](there.md#what-auto-becomes) [b](there.md#twice-1) [c](https://example.org/x) `[d](code.md)`\n"
        "[e](there.md#no-heading) ![f](lost.svg) [g](../outside.md) [h](#nowhere)\n[i]: lost.md\n"
    )
    assert broken(page) == ["there.md#no-heading", "lost.svg", "../outside.md", "#nowhere", "lost.md"]
