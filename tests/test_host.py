"""What this machine lets us use."""

import os
import sys

import pytest

from app import host


@pytest.fixture
def quota(tmp_path, monkeypatch):
    file = tmp_path / "cpu.max"
    monkeypatch.setattr(host, "_CPU_QUOTA", file)
    return file.write_text


@pytest.mark.skipif(sys.platform != "linux", reason="control groups are Linux's")
def test_processors_are_those_allowed_and_no_more_than_the_quota(quota, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)))
    assert host.usable_cpus() == 8
    for text, cpus in {
        "max 100000": 8,
        "200000 100000": 2,
        "50000 100000": 1,
        "1600000 100000": 8,
        "nonsense": 8,
    }.items():
        quota(text)
        assert host.usable_cpus() == cpus, text
