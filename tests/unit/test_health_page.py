"""The manifests and answers that docs/how-to/health.md shows."""

from __future__ import annotations

import json
from typing import Any, get_type_hints

import pytest
import yaml

from eventing_core import EventManager, Options
from eventing_core.asgi import HealthReport, ListenerReport, ProbeReport, ProviderReport, SendingReport
from eventing_core.configure._config import load_configuration
from eventing_core.configure._plugins import Plugins
from eventing_core.manager._probes import Probes
from eventing_core.memory import MemoryProvider
from tests.support.pages import blocks

PAGE = "how-to/health.md"
MANIFESTS: list[dict[str, Any]] = list(yaml.safe_load_all(blocks(PAGE, "yaml")[0]))
(SET,) = (manifest for manifest in MANIFESTS if manifest["kind"] == "StatefulSet")
POD = SET["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]


def test_each_manifest_is_whole():
    assert [manifest["kind"] for manifest in MANIFESTS] == ["StatefulSet", "Service"]
    for manifest in MANIFESTS:
        assert manifest.keys() == {"apiVersion", "kind", "metadata", "spec"}
    labels = SET["spec"]["template"]["metadata"]["labels"]
    assert SET["spec"]["selector"]["matchLabels"] == labels == MANIFESTS[1]["spec"]["selector"]
    assert SET["spec"]["serviceName"] == MANIFESTS[1]["metadata"]["name"]


def test_its_variables_are_settings(monkeypatch: pytest.MonkeyPatch):
    for variable in CONTAINER["env"]:
        value = variable.get("value", "from-elsewhere")
        assert isinstance(value, str), f"Kubernetes wants a string: {variable}"
        monkeypatch.setenv(variable["name"], value)
    configuration = load_configuration(Plugins())
    health = configuration.options.health
    assert (configuration.provider_spec.name, configuration.server_name) == ("amqp", "from-elsewhere")
    assert (health.port, health.host) == (CONTAINER["ports"][0]["containerPort"], "0.0.0.0")  # noqa: S104 (a pod's)
    assert POD["terminationGracePeriodSeconds"] > configuration.options.stop_timeout


def test_its_probes_are_answered():
    manager = EventManager(MemoryProvider("here"), listeners=[], pipelines=[], options=Options())
    probes = Probes(manager.health, details=False)
    with manager:
        for kind, path in [("startupProbe", "/live"), ("readinessProbe", "/ready"), ("livenessProbe", "/live")]:
            asked = CONTAINER[kind]["httpGet"]
            assert asked == {"path": path, "port": CONTAINER["ports"][0]["name"]}
            assert probes.answer("GET", asked["path"]).status == 200


@pytest.mark.parametrize(("number", "kind"), [(0, ProbeReport), (1, HealthReport)])
def test_the_answers_have_the_keys_of_their_types(number: int, kind: Any):
    shown = json.loads(blocks(PAGE, "json")[number])
    assert shown.keys() == get_type_hints(kind).keys()
    if kind is HealthReport:
        assert shown["provider"].keys() == get_type_hints(ProviderReport).keys()
        assert shown["sending"].keys() == get_type_hints(SendingReport).keys()
        assert shown["listeners"][0].keys() == get_type_hints(ListenerReport).keys()
