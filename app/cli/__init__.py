"""``tunery …``: starts the service, and talks to it over HTTP alone."""


def main() -> None:
    """The console script. Exits with 0, 1 (an error, or a job that did not succeed), 2 (usage) or 130 (Ctrl-C)."""
    from app.cli.root import run  # noqa: PLC0415  importing app.cli stays free of Typer

    run()


__all__ = ["main"]
