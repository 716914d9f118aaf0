"""The music players of a node: from commands of the room model to players (music/players.py), and back to the room."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mediaserver.commands import AddTap, ChangePlayer, ClosePlayer, OpenPlayer
from mediaserver.music.columns import PlaneColumn
from mediaserver.music.cues import Configure, Effect, Event, Pause, Play, Status, Stop
from mediaserver.music.deck import Workshop
from mediaserver.music.players import MusicPlayer, Now
from mediaserver.place import pan_gains
from mediaserver.plane import Driver
from mediaserver.programme import PlayerSpec, PlayerState

Heard = Callable[[int, str, Sequence[Effect]], None]
"""(room, player, what it tells)."""

_AT_REST = (Status.IDLE, Status.ENDED, Status.FAILED)
_NOTHING = Now(Status.IDLE, track=None, position_s=0.0, at_ns=0, duration_s=None, failure="", tags={})


@dataclass(slots=True)
class _Entry:
    player: MusicPlayer
    spec: PlayerSpec


class Jukebox:
    """All methods are called in the event loop and return at once."""

    def __init__(self, driver: Driver, workshop: Workshop, heard: Heard) -> None:
        self._driver = driver
        self._workshop = workshop
        self._heard = heard
        self._players: dict[tuple[int, str], _Entry] = {}

    def perform(self, command: OpenPlayer | ChangePlayer | ClosePlayer | AddTap) -> None:
        match command:
            case OpenPlayer(room, name, csrc, spec):
                self._open(room, name, csrc, spec)
            case ChangePlayer(room, name, csrc, spec):
                entry = self._players[room, name]
                if spec.pan != entry.spec.pan:
                    self._driver.plane.set_column(room, csrc, 1.0, *pan_gains(spec.pan))
                before, entry.spec = entry.spec, spec
                _follow(entry.player, before, spec)
            case AddTap(room, csrc, player, pan, delay):
                left, right = pan_gains(pan)
                self._driver.plane.add_tap(room, csrc, player, gain=1.0, left=left, right=right, delay_samples=delay)
            case ClosePlayer(room, name, csrc):
                if (room, name) in self._players:
                    self._players.pop((room, name)).player.close()
                self._driver.plane.remove_column(room, csrc)

    def ask(self, room: int, name: str, event: Event) -> None:
        """Seek, Next, Previous, or Play from somewhere. KeyError when there is no such player."""
        self._players[room, name].player.ask(event)

    def now(self, room: int, name: str) -> Now:
        """A player that is not there, because it is yet to be opened or could not be, does nothing."""
        entry = self._players.get((room, name))
        return _NOTHING if entry is None else entry.player.now()

    def close(self) -> None:
        for entry in self._players.values():
            entry.player.close()
        self._players.clear()

    def _open(self, room: int, name: str, csrc: int, spec: PlayerSpec) -> None:
        self._driver.plane.add_player(room, csrc, 1.0, *pan_gains(spec.pan))
        output = PlaneColumn(self._driver, room, csrc)
        player = MusicPlayer(self._workshop, output, lambda effects: self._heard(room, name, effects))
        self._players[room, name] = _Entry(player, spec)
        _follow(player, PlayerSpec(state=PlayerState.STOPPED), spec)


def _follow(player: MusicPlayer, before: PlayerSpec, spec: PlayerSpec) -> None:
    if spec.plan != before.plan:
        player.ask(Configure(spec.plan))
    # A playlist that is filled while it should be playing begins.
    begins = spec.plan.tracks != before.plan.tracks and player.now().status in _AT_REST
    match spec.state:
        case PlayerState.PLAYING if before.state is not PlayerState.PLAYING or begins:
            player.ask(Play())
        case PlayerState.PAUSED if before.state is not PlayerState.PAUSED:
            player.ask(Pause())
        case PlayerState.STOPPED if before.state is not PlayerState.STOPPED:
            player.ask(Stop())
