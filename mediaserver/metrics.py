"""Prometheus metrics, read from the node and the plane at each scrape. No names of rooms or users, no addresses."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from mediaserver.admission import Reason
from mediaserver.commands import CloseReason
from mediaserver.load import LAG_BOUNDS_S
from mediaserver.model.people import Direction
from mediaserver.music.children import DEATHS
from mediaserver.music.cues import FAILURES, Status
from mediaserver.node import Node
from mediaserver.sessions import State
from mediaserver.store import Store
from mediaserver.webhooks import Endpoint

# All other numbers of a worker only grow.
GAUGES = ("peers", "rooms", "mixes", "tcp_connections", "listeners_lossy", "listeners_very_lossy")
HANDSHAKE_FAILURES = (CloseReason.HANDSHAKE_FAILED, CloseReason.HANDSHAKE_TIMEOUT)


class NodeCollector(Collector):
    def __init__(self, node: Node) -> None:
        self._node = node

    def collect(self) -> Iterator[Metric]:
        yield from self._sessions()
        yield from self._operation()
        yield from self._music()
        yield from self._plane()
        yield from state_metrics(self._node.store)
        yield from webhook_metrics(self._node.webhooks.endpoints)
        plane = self._node.driver.plane
        yield self._histogram("residence", "How long forwarded packets stayed in the server.", plane.residence)
        yield self._histogram(
            "mix_residence", "How long after its tick's time a packet of a mix was sent.", plane.mix_residence
        )
        yield self._histogram(
            "playout_wait",
            "How long a speaker's sound waited for the tick that mixed it, per source and tick.",
            plane.playout_wait,
        )
        yield self._histogram(
            "playout_target", "How much of that the speaker's jitter buffer wanted.", plane.playout_target
        )
        yield self._histogram("tick_lateness", "How long after its time a room's tick began.", plane.tick_lateness)
        yield self._histogram("tick_duration", "How long a room's tick took.", plane.tick_duration)

    def _sessions(self) -> Iterator[Metric]:
        node = self._node
        yield GaugeMetricFamily("mediaserver_rooms", "Rooms that exist now.", len(node.rooms))
        states = Counter((session.direction, session.state) for session in node.census.sessions.values())
        labels = ["direction", "state"]
        sessions = GaugeMetricFamily("mediaserver_sessions", "WHIP and WHEP sessions now.", labels=labels)
        for direction in Direction:
            for state in State:
                if state is not State.CLOSED:
                    sessions.add_metric([direction, state], states[direction, state])
        yield sessions
        started = CounterMetricFamily("mediaserver_sessions_started", "Sessions that began.", labels=["direction"])
        for direction in Direction:
            started.add_metric([direction], node.census.started[direction])
        yield started
        ended = CounterMetricFamily("mediaserver_sessions_ended", "Sessions that ended, by reason.", labels=["reason"])
        for reason in CloseReason:
            ended.add_metric([reason], node.census.endings[reason])
        yield ended
        failed = CounterMetricFamily(
            "mediaserver_handshakes_failed", "DTLS handshakes that did not complete, by reason.", labels=["reason"]
        )
        for reason in HANDSHAKE_FAILURES:
            failed.add_metric([reason], node.census.endings[reason])
        yield failed
        lost = CounterMetricFamily(
            "mediaserver_rtp_packets_lost",
            "RTP packets lost: of publishers as received here, of listeners as they report.",
            labels=["direction"],
        )
        for direction, packets in node.census.packets_lost().items():
            lost.add_metric([direction], packets)
        yield lost

    def _operation(self) -> Iterator[Metric]:
        node = self._node
        yield GaugeMetricFamily("mediaserver_draining", "1 while no new rooms are taken.", node.draining)
        taking = GaugeMetricFamily(
            "mediaserver_admission_open", "1 while new rooms and sessions are put on the worker.", labels=["worker"]
        )
        for worker in range(node.driver.plane.workers):
            taking.add_metric([str(worker)], node.admission.refusal(worker) is None)
        yield taking
        refused = CounterMetricFamily(
            "mediaserver_admission_refused", "New rooms and sessions refused for load, by reason.", labels=["reason"]
        )
        for reason in Reason:
            refused.add_metric([reason], node.capacity.refused[reason])
        yield refused
        limited = CounterMetricFamily(
            "mediaserver_requests_limited", "Requests refused with 429, by whose rate they exceeded.", labels=["by"]
        )
        for by in ("api-key", "address"):
            limited.add_metric([by], node.refused_rates[by])
        yield limited
        lag = node.watch.lag
        cumulated = zip([*map(str, LAG_BOUNDS_S), "+Inf"], accumulate(lag.counts), strict=True)
        yield HistogramMetricFamily(
            "mediaserver_event_loop_lag_seconds",
            "How late the event loop runs a timer of 100 ms.",
            buckets=list(cumulated),
            sum_value=lag.sum_s,
        )

    def _music(self) -> Iterator[Metric]:
        node, music = self._node, self._node.playback.music
        programmes = [room.programme for room in node.rooms.values()]
        players = Counter(
            node.playback.jukebox.now(room.id, name).status
            for room in node.rooms.values()
            for name in room.programme.players
        )
        playing = GaugeMetricFamily("mediaserver_players", "Music players now, by what they do.", labels=["status"])
        for status in Status:
            playing.add_metric([status], players[status])
        yield playing
        effects = sum(len(programme.effects) for programme in programmes)
        yield GaugeMetricFamily("mediaserver_effects", "Sound effects that play now.", effects)
        yield GaugeMetricFamily("mediaserver_decoders", "Processes that decode music now.", music.children.count)
        deaths = CounterMetricFamily(
            "mediaserver_decoder_deaths", "Decoders that ended without having said so, by how.", labels=["how"]
        )
        for how in DEATHS:
            deaths.add_metric([how], music.children.deaths[how])
        yield deaths
        failed = CounterMetricFamily("mediaserver_tracks_failed", "Tracks that failed, by reason.", labels=["reason"])
        for reason in (*FAILURES, "other"):
            failed.add_metric([reason], node.playback.failed_tracks[reason])
        yield failed
        yield CounterMetricFamily(
            "mediaserver_fetches_refused", "Addresses and redirects not fetched from by policy.", music.gate.refused
        )
        library = music.library
        yield GaugeMetricFamily("mediaserver_library_items", "Files in the library.", len(library) if library else 0)
        yield GaugeMetricFamily("mediaserver_library_bytes", "Their size.", library.total if library else 0)

    def _plane(self) -> Iterator[Metric]:
        """The workers' own counters, under their own names."""
        driver = self._node.driver
        workers = [driver.plane.counters(worker) for worker in range(driver.plane.workers)]
        for name in workers[0]:
            metric = plane_metric(name, driver.counter_meanings[name])
            for worker, counters in enumerate(workers):
                metric.add_metric([str(worker)], counters[name] / (1e9 if name.endswith("_ns") else 1))
            yield metric

    def _histogram(
        self, name: str, meaning: str, read: Callable[[int], tuple[list[float], list[int], float]]
    ) -> Metric:
        """`read` gives a worker's upper bounds in seconds, the count in each (one more, for the rest), and the sum."""
        metric = HistogramMetricFamily(f"mediaserver_{name}_seconds", meaning, labels=["worker"])
        for worker in range(self._node.driver.plane.workers):
            bounds, counts, total = read(worker)
            cumulated = zip([*map(str, bounds), "+Inf"], accumulate(counts), strict=True)
            metric.add_metric([str(worker)], list(cumulated), total)
        return metric


def state_metrics(store: Store) -> Iterator[Metric]:
    """Of what survives a restart."""
    yield CounterMetricFamily("mediaserver_state_commits", "Transactions of the state's file.", store.commits)
    yield GaugeMetricFamily("mediaserver_state_waiting", "Changes that wait for the disk.", store.waiting)
    yield GaugeMetricFamily("mediaserver_state_failing", "1 while the disk refuses, else 0.", int(store.failing))
    yield CounterMetricFamily("mediaserver_events_lost", "Events lost while the disk refused.", store.lost)


def webhook_metrics(endpoints: Iterable[Endpoint]) -> Iterator[Metric]:
    """Of each endpoint, by its place in the settings: addresses may hold secrets."""
    labels = ["endpoint"]
    delivered = CounterMetricFamily("mediaserver_webhook_delivered", "Events delivered.", labels=labels)
    failed = CounterMetricFamily("mediaserver_webhook_failed", "Attempts that failed.", labels=labels)
    dropped = CounterMetricFamily("mediaserver_webhook_dropped", "Events dropped: too many waited.", labels=labels)
    pending = GaugeMetricFamily("mediaserver_webhook_pending", "Events that wait to be delivered.", labels=labels)
    success = GaugeMetricFamily(
        "mediaserver_webhook_last_success_seconds", "Unix time of the last delivery; 0 before one.", labels=labels
    )
    for endpoint in endpoints:
        label = [str(endpoint.number)]
        delivered.add_metric(label, endpoint.delivered)
        failed.add_metric(label, endpoint.failed)
        dropped.add_metric(label, endpoint.dropped)
        pending.add_metric(label, endpoint.pending)
        success.add_metric(label, endpoint.last_success or 0)
    yield from (delivered, failed, dropped, pending, success)


def plane_metric(name: str, meaning: str) -> CounterMetricFamily | GaugeMetricFamily:
    """The family, still empty, of a counter of the plane."""
    family = GaugeMetricFamily if name in GAUGES else CounterMetricFamily
    base = name.removesuffix("_ns") + "_seconds" if name.endswith("_ns") else name
    return family(f"mediaserver_plane_{base}", f"Of a worker: {meaning}.", labels=["worker"])


def registry(node: Node) -> CollectorRegistry:
    """A registry of the node's metrics alone."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(NodeCollector(node))
    return registry
