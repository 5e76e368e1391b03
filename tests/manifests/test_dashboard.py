"""The dashboard asks for metrics that the app exports."""

import json
import re

from prometheus_client.parser import text_string_to_metric_families

from apps.telemetry import Telemetry
from tests.manifests.rendered import objects

FUNCTIONS = {"sum", "rate", "histogram_quantile", "by", "topk"}


def test_every_metric_and_label_is_exported() -> None:
    telemetry = Telemetry()
    telemetry.watch_queue(lambda: 0, lambda: 0)
    telemetry.requests.labels("GET", "/", "200").inc()
    telemetry.generation.observe(1)
    telemetry.votes.inc()
    page = telemetry.page().decode()
    samples = [one for family in text_string_to_metric_families(page) for one in family.samples]
    exported = {one.name for one in samples}
    labels = {"job"} | {label for one in samples for label in one.labels}

    (board,) = (
        json.loads(one["data"]["realmat.json"])
        for one in objects("overlays/production", "ConfigMap")
        if one["metadata"]["name"] == "realmat-dashboard"
    )
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    asked = set()
    for query in queries:
        bare = re.sub(r'"[^"]*"|\[\w+\]', "", query)
        words = set(re.findall(r"[a-z_]\w*", bare)) - FUNCTIONS
        asked |= {word for word in words if word.startswith("realmat_")}
        assert words - labels <= exported, query
        assert 'job="realmat-app"' in query
    # What is counted is shown, but for the moments at which counters began.
    kinds = ("_created", "_sum")
    shown = {re.sub(r"_(bucket|count)$", "", name) for name in asked}
    assert shown == {
        re.sub(r"_(bucket|count)$", "", name) for name in exported if not name.endswith(kinds)
    }


def test_the_monitor_finds_the_service_under_the_dashboards_job() -> None:
    (monitor,) = objects("overlays/production", "ServiceMonitor")
    (service,) = (
        one for one in objects("overlays/production", "Service")
        if monitor["spec"]["selector"]["matchLabels"].items() <= one["metadata"]["labels"].items()
    )  # fmt: skip
    assert service["metadata"]["name"] == "realmat-app"  # which becomes the label `job`
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert endpoint["path"] == "/metrics"
