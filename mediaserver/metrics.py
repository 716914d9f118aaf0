"""Prometheus metrics, read from the node and the plane at each scrape. No names of rooms or users, no addresses."""

from collections import Counter
from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from mediaserver.commands import CloseReason
from mediaserver.model import Direction
from mediaserver.node import Node
from mediaserver.sessions import State

GAUGES = ("peers", "rooms")
HANDSHAKE_FAILURES = (CloseReason.HANDSHAKE_FAILED, CloseReason.HANDSHAKE_TIMEOUT)


class NodeCollector(Collector):
    def __init__(self, node: Node) -> None:
        self._node = node

    def collect(self) -> Iterator[Metric]:
        yield from self._sessions()
        yield from self._plane()
        yield self._residence()

    def _sessions(self) -> Iterator[Metric]:
        node = self._node
        yield GaugeMetricFamily("mediaserver_rooms", "Rooms that exist now.", len(node.rooms))
        states = Counter((session.direction, session.state) for session in node.sessions.values())
        labels = ["direction", "state"]
        sessions = GaugeMetricFamily("mediaserver_sessions", "WHIP and WHEP sessions now.", labels=labels)
        for direction in Direction:
            for state in State:
                if state is not State.CLOSED:
                    sessions.add_metric([direction, state], states[direction, state])
        yield sessions
        ended = CounterMetricFamily("mediaserver_sessions_ended", "Sessions that ended, by reason.", labels=["reason"])
        for reason in CloseReason:
            ended.add_metric([reason], node.ended[reason])
        yield ended
        failed = CounterMetricFamily(
            "mediaserver_handshakes_failed", "DTLS handshakes that did not complete, by reason.", labels=["reason"]
        )
        for reason in HANDSHAKE_FAILURES:
            failed.add_metric([reason], node.ended[reason])
        yield failed
        lost = CounterMetricFamily(
            "mediaserver_rtp_packets_lost",
            "RTP packets lost: of publishers as received here, of listeners as they report.",
            labels=["direction"],
        )
        for direction, packets in node.packets_lost().items():
            lost.add_metric([direction], packets)
        yield lost

    def _plane(self) -> Iterator[Metric]:
        """The workers' own counters under their own names; native/src/stats.hpp says what each counts."""
        plane = self._node.driver.plane
        workers = [plane.counters(worker) for worker in range(plane.workers)]
        for name in workers[0]:
            metric = _plane_metric(name)
            for worker, counters in enumerate(workers):
                seconds = name.endswith("_ns")
                metric.add_metric([str(worker)], counters[name] / 1e9 if seconds else counters[name])
            yield metric

    def _residence(self) -> Metric:
        plane = self._node.driver.plane
        metric = HistogramMetricFamily(
            "mediaserver_residence_seconds",
            "Time of a forwarded packet in the server: from its arrival to its last send call.",
            labels=["worker"],
        )
        for worker in range(plane.workers):
            bounds, counts, total = plane.residence(worker)
            buckets = []
            below = 0
            for bound, count in zip([*map(str, bounds), "+Inf"], counts, strict=True):
                below += count
                buckets.append((bound, below))
            metric.add_metric([str(worker)], buckets, total)
        return metric


def _plane_metric(name: str) -> CounterMetricFamily | GaugeMetricFamily:
    words = name.removesuffix("_ns").replace("_", " ")
    if name in GAUGES:
        return GaugeMetricFamily(f"mediaserver_plane_{name}", f"{words} of a worker now.", labels=["worker"])
    unit = "_seconds" if name.endswith("_ns") else ""
    name = name.removesuffix("_ns") + unit
    return CounterMetricFamily(f"mediaserver_plane_{name}", f"{words} of a worker since its start.", labels=["worker"])


def registry(node: Node) -> CollectorRegistry:
    """A registry of the node's metrics alone."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(NodeCollector(node))
    return registry
