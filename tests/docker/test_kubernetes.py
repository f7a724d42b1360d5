"""The manifests are what Kubernetes' schemas have, fit each other, and what the images and the settings can keep."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from app.config import Settings
from app.main import create_app
from tests.docker.test_compose import instruction

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docker/kubernetes"
FILES = [*sorted(FOLDER.rglob("*.yaml")), FOLDER / "secret.yaml.example"]
OLDEST = "1.29"
"""Of the versions that are checked; the newest is that of the schemas that are installed."""
PARTS = {"tunery-api": "api", "tunery-worker": "worker", "tunery-worker-gpu": "worker", "tunery-predictor": "predictor"}
"""By image: the target of docker/Dockerfile that it is made by."""

Document = dict[str, Any]
OBJECTS: list[Document] = [document for path in FILES for document in yaml.safe_load_all(path.read_text())]


def of_kind(*kinds: str) -> list[Document]:
    return [document for document in OBJECTS if document["kind"] in kinds]


def pods() -> list[Document]:
    return [document["spec"]["template"] for document in of_kind("Deployment", "StatefulSet")]


def containers(pod: Document) -> list[Document]:
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def all_containers() -> list[Document]:
    return [container for pod in pods() for container in containers(pod)]


def ours() -> Iterator[tuple[Document, str, str]]:
    """Each container of a part of Tunery with its part and its image."""
    for container in all_containers():
        image = container["image"].partition(":")[0]
        if image in PARTS:
            yield container, PARTS[image], image


def part(name: str) -> Document:
    [found] = [pod["spec"] for pod in pods() if pod["metadata"]["labels"]["app.kubernetes.io/component"] == name]
    return found


def probes(container: Document) -> Iterator[Document]:
    yield from (container[name] for name in ("startupProbe", "livenessProbe", "readinessProbe") if name in container)


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_each_object_is_one_by_the_schemas_of_kubernetes(path, version):
    for document in yaml.safe_load_all(path.read_text()):
        kubernetes_validate.validate(document, version, strict=True)
        assert document["kind"] == "Namespace" or document["metadata"]["namespace"] == "tunery"


def test_a_field_that_is_not_there_would_be_found():
    [deployment, *_] = of_kind("Deployment")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment | {"replicas": 2}, kubernetes_validate.latest_version(), strict=True)


def test_no_container_may_do_more_than_it_must():
    for pod in pods():
        context = pod["spec"]["securityContext"]
        assert (context["runAsNonRoot"], context["seccompProfile"]) == (True, {"type": "RuntimeDefault"})
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert pod["spec"]["enableServiceLinks"] is False
    for container in all_containers():
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"cpu", "memory"} <= set(container["resources"]["requests"])
        assert "memory" in container["resources"]["limits"]
        assert not container["image"].endswith(":latest")
        assert ":" in container["image"]


def test_the_parts_run_as_the_user_of_their_images():
    assert {image for _, _, image in ours()} == set(PARTS)
    for target in set(PARTS.values()):
        assert instruction("USER", target) == ["10001"]
    for name in ("api", "worker", "worker-gpu"):
        context = part(name)["securityContext"]
        assert (context["runAsUser"], context["fsGroup"]) == (10001, 10001)


def test_each_part_is_started_by_the_command_of_its_image():
    for container, target, _ in ours():
        if container["name"] == "migrate":
            assert container["command"] == ["tunery", "migrate"]
        else:
            assert [container["command"]] == [json.loads(command) for command in instruction("CMD", target)]


def test_everything_that_is_told_to_a_part_is_a_setting():
    fields = {f"TUNERY_{name}".upper() for name in Settings.model_fields}
    [config] = of_kind("ConfigMap")
    assert set(config["data"]) <= fields
    for container, _, _ in ours():
        assert {variable["name"] for variable in container.get("env", [])} <= fields
        assert container["envFrom"] == [{"configMapRef": {"name": config["metadata"]["name"]}}]


def test_only_the_api_is_told_the_first_key_and_the_predictor_nothing_secret():
    told = {container["name"]: {each["name"] for each in container.get("env", [])} for container, _, _ in ours()}
    assert {name for name, names in told.items() if "TUNERY_FIRST_API_KEY" in names} == {"api"}
    assert told["predictor"] == set()


def test_every_secret_that_is_asked_for_is_in_the_example_and_none_is_written_there():
    [secret] = of_kind("Secret")
    asked = set()
    for container in all_containers():
        for variable in container.get("env", []):
            if reference := variable.get("valueFrom", {}).get("secretKeyRef"):
                assert reference["name"] == secret["metadata"]["name"]
                asked.add(reference["key"])
    assert asked == set(secret["stringData"])
    assert all(value == "" or ":PASSWORD@" in value for value in secret["stringData"].values())


def test_everything_that_is_mounted_is_there():
    claims = {claim["metadata"]["name"] for claim in of_kind("PersistentVolumeClaim")}
    for document in of_kind("Deployment", "StatefulSet"):
        spec = document["spec"]["template"]["spec"]
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        templates = {claim["metadata"]["name"] for claim in document["spec"].get("volumeClaimTemplates", [])}
        for container in containers(document["spec"]["template"]):
            assert {mount["name"] for mount in container["volumeMounts"]} <= {*volumes, *templates}
        for volume in volumes.values():
            assert "persistentVolumeClaim" not in volume or volume["persistentVolumeClaim"]["claimName"] in claims
    for container, _, _ in ours():
        assert {"/data", "/tmp", "/home/tunery"} <= {mount["mountPath"] for mount in container["volumeMounts"]}


def test_selectors_find_their_pods():
    labels = [pod["metadata"]["labels"] for pod in pods()]
    for document in of_kind("Deployment", "StatefulSet"):
        wanted = document["spec"]["selector"]["matchLabels"]
        assert wanted.items() <= document["spec"]["template"]["metadata"]["labels"].items()
        assert sum(wanted.items() <= each.items() for each in labels) == 1
    selectors = [service["spec"]["selector"] for service in of_kind("Service")]
    selectors += [budget["spec"]["selector"]["matchLabels"] for budget in of_kind("PodDisruptionBudget")]
    selectors += [policy["spec"]["podSelector"].get("matchLabels", {}) for policy in of_kind("NetworkPolicy")]
    for selector in selectors:
        assert any(selector.items() <= each.items() for each in labels)


def test_services_lead_to_ports_that_are_open():
    for service in of_kind("Service"):
        [pod] = [pod for pod in pods() if service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()]
        ports = {port["name"]: port["containerPort"] for each in containers(pod) for port in each.get("ports", [])}
        for port in service["spec"]["ports"]:
            assert port.get("targetPort", port["port"]) in {*ports, *ports.values()}
    [secret] = of_kind("Secret")
    names = {service["metadata"]["name"]: service["spec"]["ports"][0]["port"] for service in of_kind("Service")}
    for url in (secret["stringData"]["TUNERY_DATABASE_URL"], secret["stringData"]["TUNERY_REDIS_URL"]):
        host, port = re.search(r"@(\w+):(\d+)", url).groups()
        assert names[host] == int(port)


def test_probes_ask_routes_and_parts_that_are_there():
    routes = set(create_app().openapi()["paths"])
    asked = set()
    for container, target, _ in ours():
        assert container["name"] == "migrate" or {"startupProbe", "livenessProbe"} <= set(container)
        for probe in probes(container):
            if "httpGet" in probe:
                path, _, query = probe["httpGet"]["path"].partition("?")
                assert path in routes
                asked.add((path, query))
            else:
                assert probe["exec"]["command"] == ["python", "/opt/healthcheck.py", target]
    assert asked == {("/health/live", ""), ("/health/ready", "part=database&part=schema")}


def test_a_worker_has_more_time_to_stop_than_its_trainer():
    stop_seconds = Settings.model_fields["stop_seconds"].default
    for name in ("worker", "worker-gpu"):
        assert part(name)["terminationGracePeriodSeconds"] >= stop_seconds + 30
    api = part("api")
    pauses = [int(each["lifecycle"]["preStop"]["exec"]["command"][1]) for each in api["containers"]]
    assert max(pauses) + 10 <= api["terminationGracePeriodSeconds"]
    assert pauses[0] < pauses[1], "the predictor stays until the API has its answers"


def test_only_gpu_workers_ask_for_gpus():
    gpus = {
        image: container["resources"]["limits"].get("nvidia.com/gpu")
        for container, _, image in ours()
        if container["name"] != "migrate"
    }
    assert gpus == {"tunery-api": None, "tunery-predictor": None, "tunery-worker": None, "tunery-worker-gpu": 1}


def test_the_stores_are_those_of_compose():
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    images = {container["image"] for container in all_containers() if container["name"] in {"postgres", "redis"}}
    assert images == {compose["postgres"]["image"], compose["redis"]["image"]}
