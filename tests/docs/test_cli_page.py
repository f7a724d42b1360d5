"""docs/cli.md tells every command with its arguments, options and defaults, and none that is not."""

import re

import pytest

from tests.docs.cli_reference import BEGIN, PAGE, commands, reference

WRITTEN, _, LISTED = PAGE.read_text().partition(BEGIN)


def test_the_commands_of_the_page_are_those_there_are() -> None:
    assert LISTED.strip() == reference().strip(), "python -m tests.docs.cli_reference writes the page anew"


def test_every_line_in_the_examples_is_a_command_with_options_that_it_has() -> None:
    known = dict(commands())
    found = [line for block in re.findall(r"```sh\n(.*?)```", WRITTEN, re.DOTALL) for line in block.splitlines()]
    lines = [line for line in found if line.startswith("tunery ") and "--install-completion" not in line]
    assert len(lines) > 8
    for line in lines:
        name = max((name for name in known if f"{line} ".startswith(f"{name} ")), key=len, default="")
        assert name, line
        options = {option for parameter in known[name].params for option in parameter.opts}
        assert set(re.findall(r"(?<!\S)--?[a-z][a-z-]*", line)) <= options, line


@pytest.mark.parametrize("name", [name for name, _ in commands()])
def test_every_command_that_prints_can_print_json(name: str) -> None:
    runs_on = {"up", "serve", "worker", "predictor", "migrate"}
    options = {option for parameter in dict(commands())[name].params for option in parameter.opts}
    assert ("--json" in options) != (name.split()[1] in runs_on)
