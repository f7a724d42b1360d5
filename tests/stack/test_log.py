import io
import json
import logging

import pytest
import structlog

from app import log
from app.config import Settings


@pytest.fixture(autouse=True)
def _restore():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    configured = structlog.get_config()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.configure(**configured)


def lines(settings, write):
    out = io.StringIO()
    log.configure(settings, stream=out)
    write()
    return out.getvalue().strip().split("\n")


def test_both_kinds_of_loggers_write_json_with_their_fields():
    def write():
        structlog.get_logger("app.one").info("a job has begun", job_id="ftjob-1")
        logging.getLogger("library").warning("a %s thing", "strange", extra={"step": 3})

    ours, theirs = (json.loads(line) for line in lines(Settings(log_format="json"), write))
    assert (ours["event"], ours["job_id"], ours["level"], ours["logger"]) == (
        "a job has begun",
        "ftjob-1",
        "info",
        "app.one",
    )
    assert (theirs["event"], theirs["step"], theirs["level"]) == ("a strange thing", 3, "warning")


def test_an_exception_is_one_json_line_without_the_values_of_variables():
    def write():
        secret = "hunter2"  # noqa: F841
        try:
            raise ValueError("broken")
        except ValueError:
            structlog.get_logger("app").exception("it failed")

    (line,) = lines(Settings(log_format="json"), write)
    assert "ValueError: broken" in json.loads(line)["exception"]


def test_the_level_holds_and_access_logs_stay_quiet():
    def write():
        structlog.get_logger("app").info("unwanted")
        structlog.get_logger("app").error("wanted")
        logging.getLogger("uvicorn.access").info("GET /")

    (line,) = lines(Settings(log_format="json", log_level="error"), write)
    assert json.loads(line)["event"] == "wanted"


def test_console_format_is_for_people():
    (line,) = lines(Settings(log_format="console"), lambda: structlog.get_logger("app").info("a job has begun", step=3))
    assert "a job has begun" in line
    assert "step=3" in line
    assert "\x1b[" not in line  # no colours where there is no terminal


def test_auto_is_json_where_there_is_no_terminal():
    (line,) = lines(Settings(log_format="auto"), lambda: structlog.get_logger("app").info("hello"))
    assert json.loads(line)["event"] == "hello"
