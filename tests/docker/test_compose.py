"""docker-compose.yml says what the images and the settings can keep, and is what the compose specification has, in every profile."""

import json
import os
import re
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose

from app.config import Settings

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text()
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]
OURS = {"api", "worker", "worker-gpu", "predictor", "predictor-gpu", "migrate"}
ONE_SHOT = {"migrate", "s3-bucket"}
STORES = {"redis", "postgres"}
PROFILES = {
    "cpu": {"api", "worker", "predictor", "migrate", *STORES},
    "gpu": {"api", "worker-gpu", "predictor-gpu", "migrate", *STORES},
    "cpu,prometheus": {"api", "worker", "predictor", "migrate", "prometheus", *STORES},
    "gpu,s3": {"api", "worker-gpu", "predictor-gpu", "migrate", "s3", "s3-bucket", *STORES},
}
SECRETS = ("TUNERY_FIRST_API_KEY", "POSTGRES_PASSWORD", "REDIS_PASSWORD", "AWS_SECRET_ACCESS_KEY")
VARIABLE = re.compile(r"\$\{(\w+)(?:(:[-?])([^}]*))?\}")


@pytest.fixture
def written(tmp_path):
    """A folder in which docker/setup-env.sh has written what compose needs."""
    subprocess.run([ROOT / "docker/setup-env.sh", tmp_path], check=True, capture_output=True)
    return tmp_path


def variables_of(path: Path) -> dict[str, str]:
    lines = path.read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def interpolated(value: Any, variables: dict[str, str]) -> Any:
    """As compose fills in variables. Raises LookupError for one that must be set and is not."""

    def replace(found: re.Match[str]) -> str:
        name, rule, text = found.groups()
        if rule == ":-":
            return variables.get(name) or text
        if rule == ":?" and not variables.get(name):
            raise LookupError(name)
        return interpolated(variables.get(name, ""), variables)

    match value:
        case str():
            return VARIABLE.sub(replace, value)
        case dict():
            return {key: interpolated(item, variables) for key, item in value.items()}
        case list():
            return [interpolated(item, variables) for item in value]
    return value


def started(profiles: str) -> set[str]:
    """What ``docker compose up`` starts."""
    chosen = set(profiles.split(","))
    return {
        name for name, service in SERVICES.items() if not service.get("profiles") or chosen & {*service["profiles"]}
    }


def image(target: str) -> str:
    """The instructions that make a target of docker/Dockerfile, those of the stages it stands on first."""
    stages = re.split(r"^FROM (\S+) AS (\S+)$", (ROOT / "docker/Dockerfile").read_text(), flags=re.MULTILINE)[1:]
    made_of = {name: (below, text) for below, name, text in zip(*[iter(stages)] * 3, strict=True)}
    below, text = made_of[target]
    return (image(below) if below in made_of else "") + text


def instruction(name: str, target: str) -> list[str]:
    return re.findall(rf"^{name} (.+)$", image(target), flags=re.MULTILINE)


def variables_of_example() -> dict[str, str]:
    return variables_of(ROOT / ".env.example")


@pytest.mark.parametrize("profiles", PROFILES)
def test_the_file_is_what_the_specification_has_and_whole_in_every_profile(profiles, written):
    variables = variables_of(written / ".env") | {"COMPOSE_PROFILES": profiles}
    document = interpolated(yaml.safe_load(TEXT), variables)
    assert set(PyCompose.from_yaml(json.dumps(document)).service_names()) == set(SERVICES)
    names = started(profiles)
    assert names == PROFILES[profiles]
    for name in names:
        service = document["services"][name]
        assert set(service.get("depends_on", {})) <= names
        assert {volume.split(":")[0] for volume in service["volumes"]} <= {
            *document["volumes"],
            "./docker/prometheus.yml",
        }
        assert set(service.get("secrets", [])) <= set(document["secrets"])


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="docker-compose is not installed")
@pytest.mark.parametrize("profiles", PROFILES)
def test_docker_compose_reads_the_file(profiles, written):
    told = subprocess.run(
        ["docker-compose", "--env-file", written / ".env", "-f", ROOT / "docker-compose.yml", "config"],
        env={"PATH": os.environ["PATH"], "COMPOSE_PROFILES": profiles}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    assert set(yaml.safe_load(told.stdout)["services"]) >= PROFILES[profiles]


def test_what_must_be_secret_is_asked_for_before_anything_starts():
    asked = {name for name, rule, _ in VARIABLE.findall(TEXT) if rule == ":?"}
    assert asked == {*SECRETS, "TUNERY_DATABASE_URL", "TUNERY_REDIS_URL"} - {"AWS_SECRET_ACCESS_KEY"}
    with pytest.raises(LookupError):
        interpolated(yaml.safe_load(TEXT), variables_of_example())


def test_the_secrets_are_fresh_and_for_nobody_else(written, tmp_path_factory):
    variables = variables_of(written / ".env")
    assert set(variables) == set(variables_of_example())
    secrets = [variables[name] for name in SECRETS]
    assert all(re.fullmatch("[0-9a-f]{48}", secret) for secret in secrets)
    other = tmp_path_factory.mktemp("other")
    subprocess.run([ROOT / "docker/setup-env.sh", other], check=True, capture_output=True)
    others = variables_of(other / ".env")
    assert len({*secrets, *(others[name] for name in SECRETS)}) == 2 * len(SECRETS)
    assert (written / ".secrets/api_key").read_text() == variables["TUNERY_FIRST_API_KEY"]
    modes = [stat.S_IMODE((written / name).stat().st_mode) for name in (".env", ".secrets")]
    assert modes == [0o600, 0o700]


def test_secrets_that_are_there_stay(written):
    before = (written / ".env").read_bytes()
    again = subprocess.run([ROOT / "docker/setup-env.sh", written], capture_output=True, text=True, check=False)
    assert (again.returncode, "stays as it is" in again.stderr) == (1, True)
    assert (written / ".env").read_bytes() == before


def test_prometheus_asks_the_api_with_the_key_that_it_is_given():
    [job] = yaml.safe_load((ROOT / "docker/prometheus.yml").read_text())["scrape_configs"]
    assert job["authorization"]["credentials_file"] == f"/run/secrets/{SERVICES['prometheus']['secrets'][0]}"
    assert job["static_configs"] == [{"targets": ["api:8000"]}]


def test_profiles_are_written_with_what_they_need(tmp_path):
    asked = os.environ | {"COMPOSE_PROFILES": "gpu,s3"}
    subprocess.run([ROOT / "docker/setup-env.sh", tmp_path], env=asked, check=True, capture_output=True)
    variables = variables_of(tmp_path / ".env")
    assert variables["COMPOSE_PROFILES"] == "gpu,s3"
    assert variables["TUNERY_ARTEFACTS_URL"] == "s3://tunery"
    assert variables["AWS_ENDPOINT_URL"] == "http://s3:8333"
    [make_bucket] = SERVICES["s3-bucket"]["command"]
    assert "s3.bucket.create -name tunery" in make_bucket


def test_without_the_profile_artefacts_stay_in_the_volume(written):
    variables = variables_of(written / ".env")
    assert (variables["COMPOSE_PROFILES"], variables["TUNERY_ARTEFACTS_URL"]) == ("cpu", "")


def test_the_images_bring_what_a_store_and_traces_need():
    for stage in ("build-api", "build-train"):
        for extras in re.findall(r"bootstrap.sh /opt/tunery (\S+)", image(stage)):
            assert {"s3", "otel"} <= set(extras.split(","))


@pytest.mark.parametrize("name", ["TUNERY_SECRET_KEY", "TUNERY_MAX_RUNNING_JOBS", "OTEL_EXPORTER_OTLP_ENDPOINT"])
def test_api_and_workers_are_told_the_same(name, written):
    asked = [SERVICES[part]["environment"].get(name) for part in ("api", "worker", "worker-gpu")]
    assert asked == [f"${{{name}:-}}"] * 3


def test_the_services_are_the_parts_of_tunery_its_stores_and_prometheus():
    assert set(SERVICES) == OURS | STORES | {"prometheus", "s3", "s3-bucket"}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_no_service_may_do_more_than_it_must(name):
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert name in OURS or not service["image"].endswith(":latest")
    assert name in OURS or ":" in service["image"]


@pytest.mark.parametrize("name", sorted(OURS))
def test_each_part_is_built_from_a_stage_of_the_dockerfile_that_drops_root(name):
    build = SERVICES[name]["build"]
    assert build["context"] == "."
    assert build["dockerfile"] == "docker/Dockerfile"
    assert instruction("USER", build["target"]) == ["10001"]


@pytest.mark.parametrize("name", sorted(OURS - ONE_SHOT))
def test_compose_and_image_start_a_part_by_the_same_command(name):
    target = SERVICES[name]["build"]["target"]
    assert [SERVICES[name]["command"]] == [json.loads(command) for command in instruction("CMD", target)]


def test_every_published_port_is_bound_to_this_machine_only():
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert set(published) == {"api", "prometheus"}
    assert all(str(port).startswith("127.0.0.1:") for ports in published.values() for port in ports)
    assert not any("network_mode" in service for service in SERVICES.values())


def test_every_tunery_variable_is_a_setting():
    named = set(re.findall(r"TUNERY_\w+", TEXT)) | {v for v in variables_of_example() if v.startswith("TUNERY_")}
    fields = {f"TUNERY_{field}".upper() for field in Settings.model_fields}
    assert {"TUNERY_HOME", "TUNERY_DATABASE_URL", "TUNERY_REDIS_URL", "TUNERY_FIRST_API_KEY"} <= named
    assert named <= fields


def test_every_variable_that_compose_asks_for_stands_in_the_example_and_no_secret_does():
    asked = set(re.findall(r"\$\{(\w+)", TEXT)) | {"COMPOSE_PROFILES"}
    example = variables_of_example()
    assert asked == set(example)
    assert [example[name] for name in SECRETS] == [""] * len(SECRETS)


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
