"""docs/settings.md tells every setting with its default, and every other variable that is read, and none that is not."""

import re
from pathlib import Path

import pytest

from app.config import Settings
from worker.process import PASSED_ON, PASSED_ON_PREFIXES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/settings.md").read_text()
SETTINGS_PAGE, OTHERS_PAGE = PAGE.split("## Not settings of the service")
ROWS = dict(re.findall(r"^\| `(\w+)` \| (.*?) \| \w+ \| .+ \|$", SETTINGS_PAGE, re.MULTILINE))
UNITS = dict(re.findall(r"^\| `(\w+)` \| .*? \| (\w+) \| .+ \|$", SETTINGS_PAGE, re.MULTILINE))
UNSET = (None, ())


def others(section: str) -> set[str]:
    return set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))


def test_every_setting_is_on_the_page_and_no_other() -> None:
    assert {f"TUNERY_{name.upper()}" for name in Settings.model_fields} == set(ROWS)


def test_every_row_of_the_page_could_be_read() -> None:
    assert len(re.findall(r"^\| `", SETTINGS_PAGE, re.MULTILINE)) == len(ROWS) == len(UNITS)


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_the_default_on_the_page_set_as_a_variable_changes_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    variable = f"TUNERY_{name.upper()}"
    default = Settings.model_fields[name].default
    if default in UNSET:
        assert ROWS[variable] == "unset"
    else:
        monkeypatch.setenv(variable, ROWS[variable].strip("`"))
        assert getattr(Settings(), name) == default


@pytest.mark.parametrize("unit", ["seconds", "bytes"])
def test_a_setting_that_is_named_after_its_unit_has_that_unit(unit: str) -> None:
    named = {name for name in ROWS if name.endswith(unit.upper())}
    assert named == {name for name, told in UNITS.items() if told == unit}


def test_every_other_variable_that_is_read_is_on_the_page() -> None:
    sources = [path.read_text() for package in ("app", "worker") for path in (ROOT / package).rglob("*.py")]
    read = {name for text in sources for name in re.findall(r"\bos\.environ(?:\.get\(|\[)\"(\w+)\"(?!\] =)", text)}
    assert read == others(OTHERS_PAGE.split("`docker-compose.yml`")[0])


def test_every_variable_of_the_compose_file_is_on_the_page() -> None:
    used = set(re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text()))
    assert used == others(OTHERS_PAGE.split("`docker-compose.yml`")[1]) | (used & ROWS.keys())


def test_the_page_lists_what_a_trainer_is_started_with() -> None:
    [listed] = re.findall(r"```text\n(.*?)```", OTHERS_PAGE, re.DOTALL)
    assert set(listed.split()) == PASSED_ON | {f"{prefix}*" for prefix in PASSED_ON_PREFIXES}
