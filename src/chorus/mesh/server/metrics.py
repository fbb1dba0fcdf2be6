"""The node's figures for Prometheus, read when they are asked for."""

from __future__ import annotations

import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from chorus.mesh.server.replies import Replies


class _Figures(Collector):
    def __init__(self, replies: Replies) -> None:
        self._replies = replies

    def describe(self) -> list[Metric]:
        return []  # else the node would be read once at registration

    def collect(self) -> Iterator[Metric]:
        node = self._replies.runtime.node
        fold = node.fold
        gauges = {
            "committed_entries": ("Entries of the transcript that this node has read.", fold.size),
            "tentative_entries": ("Entries of this node that wait for the log.", len(node.outbox) + len(node.scribe)),
            "epoch": ("Epoch of the membership.", fold.epoch),
            "members": ("Members of the epoch.", len(fold.members)),
            "order_parameter": ("Kuramoto r of the heartbeats.", node.pace.order(time.monotonic(), fold.members)),
            "calls": ("Calls of the member under way.", len(node.deliberation.running)),
            "streams": ("Answers being written to clients.", len(self._replies)),
            "log_in_trouble": ("1 while the outcome of an append is unknown.", bool(node.tail.trouble)),
            "disk_in_trouble": ("1 while the journal cannot be written.", bool(node.scribe.trouble)),
        }
        for name, (meaning, value) in gauges.items():
            yield GaugeMetricFamily(f"chorus_{name}", meaning, value=float(value))
        rounds = GaugeMetricFamily("chorus_rounds", "Rounds by outcome.", labels=["outcome"])
        for outcome, count in (("open", len(fold.open)), *sorted(fold.outcomes.items())):
            rounds.add_metric([outcome], count)
        yield rounds
        dropped = CounterMetricFamily("chorus_dropped_messages", "Messages not taken, by reason.", labels=["reason"])
        for reason, count in sorted(node.gate.dropped.items()):
            dropped.add_metric([reason], count)
        yield dropped


class Metrics:
    """Makes the text of `/metrics`."""

    def __init__(self, replies: Replies) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Figures(replies))

    def text(self) -> bytes:
        """Return the figures in Prometheus's text format."""
        return generate_latest(self._registry)
