"""docker-compose.yml says what the images and the settings can keep."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.config import Settings

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text()
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]
OURS = {"api", "worker", "predictor", "migrate"}
ONE_SHOT = {"migrate"}


def image(target: str) -> str:
    """The instructions that make a target of docker/Dockerfile, those of the stages it stands on first."""
    stages = re.split(r"^FROM (\S+) AS (\S+)$", (ROOT / "docker/Dockerfile").read_text(), flags=re.MULTILINE)[1:]
    made_of = {name: (below, text) for below, name, text in zip(*[iter(stages)] * 3, strict=True)}
    below, text = made_of[target]
    return (image(below) if below in made_of else "") + text


def instruction(name: str, target: str) -> list[str]:
    return re.findall(rf"^{name} (.+)$", image(target), flags=re.MULTILINE)


def variables_of_example() -> dict[str, str]:
    lines = (ROOT / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_the_services_are_the_parts_of_tunery_and_its_two_stores():
    assert set(SERVICES) == OURS | {"redis", "postgres"}


@pytest.mark.parametrize("name", sorted(OURS))
def test_each_part_is_built_from_a_stage_of_the_dockerfile_that_drops_root(name):
    build = SERVICES[name]["build"]
    assert build["context"] == "."
    assert build["dockerfile"] == "docker/Dockerfile"
    assert instruction("USER", build["target"]) == ["10001"]


@pytest.mark.parametrize("name", sorted(OURS - ONE_SHOT))
def test_compose_and_image_start_a_part_by_the_same_command(name):
    assert [SERVICES[name]["command"]] == [json.loads(command) for command in instruction("CMD", name)]


def test_every_published_port_is_bound_to_this_machine_only():
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert set(published) == {"api"}
    assert all(str(port).startswith("127.0.0.1:") for ports in published.values() for port in ports)
    assert not any("network_mode" in service for service in SERVICES.values())


def test_every_tunery_variable_is_a_setting():
    named = set(re.findall(r"TUNERY_\w+", TEXT)) | {v for v in variables_of_example() if v.startswith("TUNERY_")}
    fields = {f"TUNERY_{field}".upper() for field in Settings.model_fields}
    assert {"TUNERY_HOME", "TUNERY_DATABASE_URL", "TUNERY_REDIS_URL", "TUNERY_FIRST_API_KEY"} <= named
    assert named <= fields


def test_every_variable_that_compose_asks_for_stands_in_the_example_and_no_secret_does():
    asked = set(re.findall(r"\$\{(\w+)", TEXT))
    example = variables_of_example()
    assert asked == set(example)
    assert [example[name] for name in ("TUNERY_FIRST_API_KEY", "POSTGRES_PASSWORD", "REDIS_PASSWORD")] == [""] * 3


def test_only_the_api_is_told_the_first_key():
    told = {name for name, service in SERVICES.items() if "TUNERY_FIRST_API_KEY" in service.get("environment", {})}
    assert told == {"api"}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_is_restarted_unless_it_is_meant_to_end(name):
    assert SERVICES[name]["restart"] == ("no" if name in ONE_SHOT else "unless-stopped")


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_that_stays_has_a_health_check(name):
    checks = list(health_checks(SERVICES[name]))
    assert bool(checks) is (name not in ONE_SHOT)


def health_checks(service: dict[str, Any]) -> Iterator[str]:
    """Those of the compose file, else those of the image that compose builds."""
    if "healthcheck" in service:
        if not service["healthcheck"].get("disable"):
            yield str(service["healthcheck"]["test"])
    elif "build" in service:
        yield from instruction("HEALTHCHECK", service["build"]["target"])


@pytest.mark.parametrize("name", sorted(OURS - ONE_SHOT))
def test_a_part_waits_for_the_migration_and_shares_the_artefacts(name):
    assert SERVICES[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
    assert SERVICES["migrate"]["depends_on"]["postgres"] == {"condition": "service_healthy"}
    assert SERVICES[name]["volumes"] == ["tunery:/data"]
    assert SERVICES[name]["environment"]["TUNERY_HOME"] == "/data"
    assert SERVICES[name]["environment"]["TUNERY_PREDICTOR_URL"].startswith("ipc:///data/")


def test_redis_keeps_its_queue_over_a_restart():
    command = SERVICES["redis"]["command"]
    assert command[command.index("--appendonly") + 1] == "yes"
    assert SERVICES["redis"]["volumes"] == ["redis:/data"]
