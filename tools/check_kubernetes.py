"""Check the examples for Kubernetes: python3 tools/check_kubernetes.py FILE...

Each object has to be one that the cluster's own schema takes, those of KEDA and of the
Prometheus operator too, with no name that is not in it.  A schema knows nothing of
memq: so the ports, labels and users in them have to fit each other and the image, and a
server with the options that stand there has to answer what is asked of it.

The models, which are made of these schemas, are cloudcoil's; the Makefile names their
versions.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from http.client import HTTPConnection
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

import yaml

from memq.cli import makeParser
from testkit.servers import Server

ROOT = Path(__file__).resolve().parent.parent
#: Where the models of an API's groups are, by the group.
MODELS = {
    "v1": "kubernetes.core.v1",
    "apps/v1": "kubernetes.apps.v1",
    "networking.k8s.io/v1": "kubernetes.networking.v1",
    "monitoring.coreos.com/v1": "prometheus_operator.v1",
    "keda.sh/v1alpha1": "keda.v1alpha1",
}
#: What KEDA's page of its scaler metrics-api (2.20) has as parameters; its schema takes
#: any.
METRICS_API = {
    *("url", "format", "valueLocation", "targetValue", "activationTargetValue"),
    *("unsafeSsl", "authMode", "timeout", "aggregateFromKubeServiceEndpoints"),
}
#: The labels that objects belong together by.
NAME = "app.kubernetes.io/name"

Object = dict[str, Any]


def fail(what: object) -> NoReturn:
    """Say what is wrong, and end."""
    sys.exit(f"check_kubernetes: {what}")


def same(what: str, expected: object, got: object) -> None:
    """End if two things that have to fit do not."""
    if expected != got:
        fail(f"{what}: {got!r}, and not {expected!r}")


def lost(before: Any, after: Any, path: str = "") -> list[str]:
    """Return the paths of what a schema does not know, and of what it changed."""
    if isinstance(before, dict) and isinstance(after, dict):
        pairs = [(f"{path}.{key}", before[key], after.get(key)) for key in before]
    elif isinstance(before, list) and isinstance(after, list):
        pairs = [
            (f"{path}[{at}]", *both)
            for at, both in enumerate(zip(before, after, strict=True))
        ]
    else:
        return [] if before == after else [path]
    return [each for path, one, other in pairs for each in lost(one, other, path)]


def validate(thing: Object) -> None:
    """End unless an object is as its schema says, and has nothing beside it."""
    kind = thing["kind"]
    model = getattr(
        import_module(f"cloudcoil.models.{MODELS[thing['apiVersion']]}"), kind
    )
    try:
        taken = model.model_validate(thing)
    except ValueError as error:
        fail(f"{kind}: {error}")
    after = taken.model_dump(mode="json", by_alias=True, exclude_unset=True)
    if unknown := lost(thing, after):
        fail(f"{kind} does not know {', '.join(unknown)}")
    print(f"{kind} {thing['metadata']['name']}: all is well")


class Example:
    """The objects of the example, by their kinds."""

    def __init__(self, things: list[Object]) -> None:
        self._things = {thing["kind"]: thing for thing in things}
        self.pod = self["StatefulSet"]["template"]
        (self.container,) = self.pod["spec"]["containers"]

    def __getitem__(self, kind: str) -> Any:
        """Return what stands in the object of a kind, but for its metadata."""
        thing = self._things[kind]
        return thing.get("spec", thing.get("data"))

    def checkLabels(self) -> None:
        """Hold labels to the pods that they mean."""
        memq, worker = self.pod, self["Deployment"]["template"]
        for kind in ("StatefulSet", "PodMonitor"):
            labels = self[kind]["selector"]["matchLabels"]
            same(kind, {NAME: memq["metadata"]["labels"][NAME]}, labels)
        same("Service", memq["metadata"]["labels"], self["Service"]["selector"])
        same("StatefulSet", self["StatefulSet"]["serviceName"], "memq")
        policy = self["NetworkPolicy"]
        same(
            "podSelector",
            memq["metadata"]["labels"],
            policy["podSelector"]["matchLabels"],
        )
        clients = policy["ingress"][0]["from"][0]["podSelector"]["matchLabels"]
        if not clients.items() <= worker["metadata"]["labels"].items():
            fail("the workers are no clients by the NetworkPolicy")
        target = self["ScaledObject"]["scaleTargetRef"]["name"]
        same("scaleTargetRef", self._things["Deployment"]["metadata"]["name"], target)

    def checkPorts(self) -> None:
        """Hold ports and the user to those of the image, and names to the ports."""
        image = (ROOT / "contrib/container/Containerfile").read_text(encoding="utf-8")
        ports = {p["name"]: p["containerPort"] for p in self.container["ports"]}
        exposed = re.findall("^EXPOSE (.*)$", image, re.M)[0].split()
        same("ports", list(map(int, exposed)), list(ports.values()))
        for port in self["Service"]["ports"]:
            same("Service", ports.get(port["targetPort"]), port["port"])
        rules = [rule["ports"] for rule in self["NetworkPolicy"]["ingress"]]
        same("NetworkPolicy", [[{"port": name}] for name in ports], rules)
        for where in (*self.asked(), self["PodMonitor"]["podMetricsEndpoints"][0]):
            same("a port that is asked", "web", where["port"])
        for user in ("runAsUser", "runAsGroup", "fsGroup"):
            number = self.pod["spec"]["securityContext"][user]
            if f"\nUSER {number}:{number}\n" not in image:
                fail(f"{user} is not the image's: {number}")

    def checkVolumes(self) -> None:
        """Hold what is mounted to what there is, and to the image."""
        (claim,) = self["StatefulSet"]["volumeClaimTemplates"]
        (volume,) = self.pod["spec"]["volumes"]
        name = self._things["ConfigMap"]["metadata"]["name"]
        same("configMap", {"name": name}, volume["configMap"])
        mounts = {m["name"]: m["mountPath"] for m in self.container["volumeMounts"]}
        places = {
            claim["metadata"]["name"]: "/var/lib/memq",
            volume["name"]: "/etc/memq",
        }
        same("volumeMounts", places, mounts)

    def checkWorker(self) -> None:
        """Parse the worker's command; look at what scales it."""
        (worker,) = self["Deployment"]["template"]["spec"]["containers"]
        options = makeParser().parse_args(worker["command"][1:])
        queue = urlsplit(self.trigger()["url"]).path.rpartition("/")[2]
        same("the queue that is looked at", options.queue.decode(), queue)
        if unknown := self.trigger().keys() - METRICS_API:
            fail(f"metrics-api has no {', '.join(unknown)}")

    def trigger(self) -> Object:
        """Return the parameters of KEDA's scaler."""
        (trigger,) = self["ScaledObject"]["triggers"]
        same("the scaler", "metrics-api", trigger["type"])
        found: Object = trigger["metadata"]
        return found

    def asked(self) -> list[Object]:
        """Return what the kubelet asks."""
        probes = ("startupProbe", "livenessProbe", "readinessProbe")
        return [self.container[probe]["httpGet"] for probe in probes]

    def checkServer(self) -> None:
        """Ask a server that has these options all that it is asked."""
        with tempfile.TemporaryDirectory() as directory:
            options = Path(directory, "memq.toml")
            options.write_text(self["ConfigMap"]["memq.toml"], encoding="utf-8")
            listen = ("--listen=127.0.0.1", "--web-listen=127.0.0.1:0")
            server = Server(f"{directory}/home", f"--config={options}", *listen).start()
            try:
                port = int(server.waitForLine("The web is on ").rpartition(":")[2])
                paths = [probe["path"] for probe in self.asked()]
                paths += [e["path"] for e in self["PodMonitor"]["podMetricsEndpoints"]]
                for path in paths:
                    ask(port, "10.1.2.3:22280", path)
                self.checkScaler(server, port)
            finally:
                server.stop()

    def checkScaler(self, server: Server, port: int) -> None:
        """Ask a server's web what KEDA asks for, with messages in the queue."""
        trigger = self.trigger()
        url = urlsplit(trigger["url"])
        server.put(url.path.rpartition("/")[2].encode(), b"one", b"two")
        told = json.loads(ask(port, url.netloc, url.path))
        same(trigger["valueLocation"], 2, told[trigger["valueLocation"]])


def ask(port: int, host: str, path: str) -> bytes:
    """Return what is answered to a request for a host, if that is 200; end if not."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path, headers={"Host": host})
    reply = connection.getresponse()
    body = reply.read()
    if reply.status != 200:
        fail(f"{host} {path}: {reply.status} {body.decode()}")
    return body


def main(paths: list[str]) -> None:
    """Check all; end with the first thing that is wrong."""
    texts = [Path(path).read_text(encoding="utf-8") for path in paths]
    things = [thing for text in texts for thing in yaml.safe_load_all(text)]
    for thing in things:
        validate(thing)
    example = Example(things)
    example.checkLabels()
    example.checkPorts()
    example.checkVolumes()
    example.checkWorker()
    example.checkServer()
    print("the objects fit each other, the image and memq")


if __name__ == "__main__":
    main(sys.argv[1:])
