"""`tunery up` processes; each has a home in a temporary folder and is stopped at the end of its test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.stack.processes import Up


@pytest.fixture
def start_up() -> Iterator[Callable[..., Up]]:
    started: list[Up] = []

    def start(home: Path, *, port: int = 0, **settings: str) -> Up:
        started.append(Up(home, port=port, **settings))
        return started[-1]

    yield start
    for up in started:
        up.clean_up()
