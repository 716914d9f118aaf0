"""What singers sing to: by how much columns are late, so that those without a seat hear voice and music meet."""

from mediaserver.commands import AddTap, Command, SetColumn, SetDelay
from mediaserver.ktv import MAX_LOOP_MS, Alignment
from mediaserver.model.room import Room
from mediaserver.programme import PlayerSpec, tap_column


def align(room: Room, alignment: Alignment) -> list[Command]:
    """Music and voices are to be so late from now on. Nothing waits while nothing is sung to."""
    aligned = room.programme.aligned()
    room.alignment = alignment if aligned else Alignment()
    wanted = {tap_column(name): _samples(room.music_delay_ms(player)) for name, player in aligned.items()}
    voices = room.alignment.voices_ms
    wanted |= {user: _samples(voices.get(user, 0.0)) for user in room.speakers}
    commands: list[Command] = []
    for column, delay in wanted.items():
        if delay != room.delays.get(column, 0):
            room.delays[column] = delay
            commands.append(SetDelay(room.id, room.csrcs.of(column), delay))
    return commands


def tap(room: Room, name: str, player_csrc: int, player: PlayerSpec, known: PlayerSpec | None) -> list[Command]:
    """An aligned player's second column. known: the player, if it has one already."""
    csrc = room.csrcs.of(tap_column(name))
    if known is not None:
        return [] if known.pan == player.pan else [SetColumn(room.id, csrc, 1.0, player.pan)]
    delay = room.delays[tap_column(name)] = _samples(room.music_delay_ms(player))
    return [AddTap(room.id, csrc, player_csrc, player.pan, delay)]


def _samples(delay_ms: float) -> int:
    """At 48 kHz, as much as the plane can delay."""
    return round(min(max(delay_ms, 0.0), MAX_LOOP_MS) * 48)
