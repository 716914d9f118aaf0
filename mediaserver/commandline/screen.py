"""The screen of `mediaserver top`: from what the server says to lines that fit. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mediaserver.commandline.output import duration, name, percent, printable
from mediaserver.schema import NodeState, RoomState, WorkerState

CELL = 38
"""Columns of a worker: two fit side by side on 80. Less leaves no room for its bar."""

WIDE = 64
"""Columns from which it is shown who talks. Less leaves too little for the names of rooms."""

WORKERS_SHARE = 4
"""Of the screen's height, workers get at most one in so many lines."""

QUIET_DBOV, LOUD_DBOV = -60.0, -10.0
"""The ends of a level's meter: below is silence, above shouts."""

METER = " ▁▂▃▄▅▆▇█"
PARTS = " ▏▎▍▌▋▊▉"  # of a bar's last cell, in eighths


@dataclass(frozen=True, slots=True)
class View:
    """What there is to be seen. rooms: those with somebody in them; levels: room -> user who talks -> dBov, as far as
    asked for; received_s, sent_s: RTP packets a second, None when not known yet; problem: why this is old, if it is."""

    node: NodeState
    rooms: Sequence[RoomState]
    levels: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    received_s: float | None = None
    sent_s: float | None = None
    problem: str = ""


def busiest(rooms: Sequence[RoomState]) -> list[RoomState]:
    """By sessions: who talks changes too often for an order that can be read."""
    return sorted(rooms, key=lambda room: (-(room.publishing + room.listening), room.name))


def draw(view: View, width: int, height: int | None) -> RenderableType:
    """Lines for a screen of this size; without a height, all rooms."""
    head = [*_head(view, width), *_workers(view.node.workers, width, height)]
    if view.problem:
        head.append(Text(printable(view.problem), "bold red", no_wrap=True, overflow="ellipsis"))
    rooms = busiest(view.rooms)
    left = len(rooms) if height is None else max(0, height - len(head) - 2)  # an empty line and the column heads
    hidden = 0
    if len(rooms) > left:
        left = max(0, left - 1)
        hidden = len(rooms) - left
    lines: list[RenderableType] = [*head, Text(), _rooms(rooms[:left], view.levels, width)]
    if hidden:
        lines.append(Text(f"and {hidden:,} more", "dim"))
    return Group(*lines)


def _head(view: View, width: int) -> list[Text]:
    node = view.node
    sessions = f"{node.sessions.get('publish', 0):,} publishing, {node.sessions.get('listen', 0):,} listening"
    title = f"mediaserver {printable(node.version)}   up {duration(node.uptime_s)}   "
    first = Text(title, "bold", no_wrap=True, overflow="ellipsis")
    if node.draining:
        first.append("DRAINING: takes no new rooms", "yellow")
    else:
        first.append("takes new rooms", "green")
    if node.workers:
        late_ms = max(worker.tick_late_p99_ms for worker in node.workers)
        first.append(f"   ticks late {late_ms:.1f} ms (p99)", "not bold")
    second = f"{node.rooms:,} rooms, {len(view.rooms):,} active   {sessions}"
    if view.received_s is not None and view.sent_s is not None:
        second += f"   packets/s {view.received_s:,.0f} in, {view.sent_s:,.0f} out"
    return [first, Text(second, no_wrap=True, overflow="ellipsis")]


def _workers(workers: Sequence[WorkerState], width: int, height: int | None) -> Iterator[RenderableType]:
    """Cells side by side, in order; where not all fit, the busiest."""
    columns = max(1, min(width // CELL, len(workers)))
    most = len(workers) if height is None else max(1, height // WORKERS_SHARE) * columns
    shown = sorted(enumerate(workers), key=lambda item: -item[1].cpu_share)[:most]
    shown.sort(key=lambda item: item[0])
    cells = [_worker(number, worker, width // columns - 2) for number, worker in shown]
    for begin in range(0, len(cells), columns):
        line = Text(no_wrap=True, overflow="crop")
        for cell in cells[begin : begin + columns]:
            line.append_text(cell)
            line.append("  ")
        yield line


def _worker(number: int, worker: WorkerState, width: int) -> Text:
    """`worker 0 |███▌   |  45 %  late   0.3 ms`; late is the 99th percentile."""
    label, figures = f"cpu{number:<2} ", f" {percent(worker.cpu_share, 0):>5}  late {worker.tick_late_p99_ms:5.1f} ms"
    share = min(1.0, max(0.0, worker.cpu_share))
    style = "red" if share >= 0.85 else "yellow" if share >= 0.6 else "green"
    line = Text(label)
    line.append("▕").append(bar(share, max(4, width - len(label) - len(figures) - 2)), style).append("▏")
    return line.append(figures)


def bar(share: float, cells: int) -> str:
    """Of exactly so many cells; share: 0..1."""
    eighths = round(share * cells * 8)
    full, part = divmod(eighths, 8)
    return ("█" * full + (PARTS[part] if part else "")).ljust(cells)


def meter(level_dbov: float) -> str:
    """One character."""
    share = (level_dbov - QUIET_DBOV) / (LOUD_DBOV - QUIET_DBOV)
    return METER[min(len(METER) - 1, max(1, round(share * (len(METER) - 1))))]


def _rooms(rooms: Sequence[RoomState], levels: Mapping[str, Mapping[str, float]], width: int) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", expand=True, width=width)
    table.add_column("ROOM", ratio=2, no_wrap=True, overflow="ellipsis")
    for column, least in (("USERS", 5), ("PUB", 4), ("LISTEN", 6), ("LOSS", 7)):
        table.add_column(column, justify="right", no_wrap=True, min_width=least)
    if is_wide := width >= WIDE:
        table.add_column("TALKING, dBov", ratio=3, no_wrap=True, overflow="ellipsis")
    for room in rooms:
        lossy = room.fraction_lost
        table.add_row(
            name(room.name),
            f"{room.participants:,}",
            f"{room.publishing:,}",
            f"{room.listening:,}",
            Text(percent(lossy), "red" if lossy >= 0.05 else "yellow" if lossy >= 0.02 else ""),
            *([_talking(room, levels.get(room.name, {}))] if is_wide else []),
        )
    return table


def _talking(room: RoomState, levels: Mapping[str, float]) -> Text:
    """The loudest first; those whose level is not known, last."""
    line = Text(no_wrap=True, overflow="ellipsis")
    for user in sorted(room.talking, key=lambda user: (-levels.get(user, -128.0), user)):
        if line:
            line.append("  ")
        line.append(printable(user))
        if (level := levels.get(user)) is not None:
            line.append(f" {meter(level)}", "green").append(f" {level:.0f}")
    return line
