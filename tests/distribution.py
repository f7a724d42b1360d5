"""How the tests are divided between the processes of pytest-xdist: by file, and what takes long first.

A process builds what a fixture of a file shares once for all tests of that file that it runs; with the tests of a file
spread over two processes each would build it. Files that share more, such as a whole service, name their
``xdist_group`` themselves. A process that is done takes the next file, so the short ones come last.
"""

import pytest

LONG_FIRST = (
    "tests/road/", "tests/worker/", "tests/faults/", "tests/trainer/packed/", "tests/stack/", "tests/predictor/",
    "tests/trainer/", "tests/cli/", "tests/contract/", "tests/prediction/", "tests/hub/", "tests/export/",
    "tests/dashboard/", "tests/storage/", "tests/file/",
)  # fmt: skip
"""Folders whose files run longest, in the order in which they are begun."""


def group_by_file(items: list[pytest.Item]) -> None:
    """Give every test without an ``xdist_group`` that of its file, and bring the groups into the order of ``LONG_FIRST``."""
    places: dict[str, int] = {}
    group_of: dict[pytest.Item, str] = {}
    for item in items:
        file = item.nodeid.partition("::")[0]
        mark = item.get_closest_marker("xdist_group")
        if mark is None:
            item.add_marker(pytest.mark.xdist_group(file))
        group_of[item] = group = file if mark is None else mark.args[0]
        places[group] = min(places.get(group, len(LONG_FIRST)), _place(file))
    items.sort(key=lambda item: places[group_of[item]])  # stable: within a folder, and a file, the order is kept


def _place(file: str) -> int:
    return next((place for place, folder in enumerate(LONG_FIRST) if file.startswith(folder)), len(LONG_FIRST))
