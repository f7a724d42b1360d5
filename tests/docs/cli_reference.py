"""The commands of docs/cli.md, as the command line itself describes them.

``python -m tests.docs.cli_reference`` writes them into the page anew.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

PAGE = Path(__file__).parents[2] / "docs/cli.md"
SAID_ONCE = {"help", "as_json"}
"""Options that all commands have, but for those that run on."""
BEGIN = "<!-- What follows is written by `python -m tests.docs.cli_reference`, from the commands themselves. -->"


def commands() -> Iterator[tuple[str, Any]]:
    """Every command that ends a line, with its name from `tunery` on, by name."""
    from app.cli.root import app

    return iter(sorted(_below(typer.main.get_command(app), "tunery")))


def _below(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    if not hasattr(command, "commands"):
        yield name, command
        return
    for word, inner in command.commands.items():
        yield from _below(inner, f"{name} {word}")


def reference() -> str:
    return "\n".join(_section(name, command) for name, command in commands())


def _section(name: str, command: Any) -> str:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and not p.hidden and p.name not in SAID_ONCE]
    lines = [f"### `{' '.join([name, *map(_usage, arguments)])}`", "", _text(command.help), ""]
    if arguments or options:
        lines += ["| | default | |", "|---|---|---|"]
        lines += [f"| `{_usage(a, plain=True)}` | {_default(a)} | {_text(a.help)} |" for a in arguments]
        lines += [f"| {_names(o)} | {_default(o)} | {_text(o.help)} |" for o in options]
        lines.append("")
    return "\n".join(lines)


def _usage(argument: Any, *, plain: bool = False) -> str:
    name = argument.metavar or argument.name.upper()
    return name if argument.required or plain else f"[{name}]"


def _names(option: Any) -> str:
    value = "" if option.is_flag else f" {option.metavar or 'VALUE'}"
    return ", ".join(f"`{name}{value}`" for name in [*option.opts, *option.secondary_opts])


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    value = parameter.default
    return (
        "" if value is None or value is False or value == () else f"`{str(value).lower() if value is True else value}`"
    )


def _text(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


def main() -> None:
    written = PAGE.read_text().partition(BEGIN)[0]
    PAGE.write_text(f"{written}{BEGIN}\n\n{reference()}".rstrip() + "\n")


if __name__ == "__main__":
    main()
