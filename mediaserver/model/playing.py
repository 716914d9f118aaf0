"""What a room plays: players and effects begin, change and end, and the rows of those whom they are not for."""

from collections.abc import Container, Mapping
from dataclasses import replace
from typing import TypeVar

from mediaserver.commands import (
    ChangeEffect,
    ChangePlayer,
    ClosePlayer,
    Command,
    OpenPlayer,
    RemoveColumn,
    SetRow,
    StartEffect,
    StopEffect,
)
from mediaserver.model import rows
from mediaserver.model.aligning import align, tap
from mediaserver.model.errors import EffectTakenError
from mediaserver.model.room import Room
from mediaserver.programme import EffectSpec, PlayerSpec, Programme, effect_column, player_column, tap_column

Spec = TypeVar("Spec")


def set_player(room: Room, name: str, spec: PlayerSpec) -> list[Command]:
    return play(room, replace(room.programme, players={**room.programme.players, name: spec}))


def remove_player(room: Room, name: str) -> list[Command]:
    """Nothing happens when there is none."""
    return play(room, replace(room.programme, players=_without(room.programme.players, name)))


def start_effect(room: Room, name: str, spec: EffectSpec) -> list[Command]:
    """EffectTakenError when one of this name plays another sound."""
    known = room.programme.effects.get(name)
    if known is not None and (known.sound, known.repeat) != (spec.sound, spec.repeat):
        raise EffectTakenError(f"The effect {name} plays another sound. Stop it first, or take another name.")
    return play(room, replace(room.programme, effects={**room.programme.effects, name: spec}))


def stop_effect(room: Room, name: str) -> list[Command]:
    """Nothing happens when there is none."""
    return play(room, replace(room.programme, effects=_without(room.programme.effects, name)))


def effect_ended(room: Room, name: str, csrc: int, reason: str | None = None) -> list[Command]:
    """By itself, or because it failed. Nothing happens when it was of an earlier effect of that name."""
    if room.csrcs.known(effect_column(name)) != csrc:
        return []
    if reason is not None:
        room.tell("effect.failed", effect=name, reason=reason)
    return [command for command in stop_effect(room, name) if not isinstance(command, StopEffect)]


def play(room: Room, programme: Programme) -> list[Command]:
    """This is what is played from now on. Rows change before what is new begins, so that nobody hears what is not
    for him."""
    before = room.programme
    if programme == before:
        return []
    if _of_document(programme) != _of_document(before):
        room.revision += 1
    return [
        *_stop(room, before, programme),
        *_go_on(room, before, programme),
        *align(room, room.alignment),
    ]


def _without(specs: Mapping[str, Spec], name: str) -> dict[str, Spec]:
    return {other: spec for other, spec in specs.items() if other != name}


def _of_document(programme: Programme) -> tuple[object, ...]:
    """What of it the room's document has: effects that are played once are of the moment."""
    return programme.players, {name: effect for name, effect in programme.effects.items() if effect.repeat}


def _stop(room: Room, before: Programme, programme: Programme) -> list[Command]:
    """What is not played any more ends, and rows are as the new programme wants them."""
    stopped = sorted(before.players.keys() - programme.players.keys())
    ended = sorted(before.effects.keys() - programme.effects.keys())
    taps = sorted(before.aligned().keys() - programme.aligned().keys())
    gone = {*map(player_column, stopped), *map(effect_column, ended), *map(tap_column, taps)}
    of = room.csrcs.of
    commands: list[Command] = [RemoveColumn(room.id, of(tap_column(name))) for name in taps]
    commands += [ClosePlayer(room.id, name, of(player_column(name))) for name in stopped]
    commands += [StopEffect(room.id, name, of(effect_column(name))) for name in ended]
    commands += _to_crowds(room, programme, {of(column) for column in gone})
    for column in gone:
        room.csrcs.drop(column)
        room.delays.pop(column, None)
    for name in ended:
        room.tell("effect.ended", effect=name)
    return commands


def _go_on(room: Room, before: Programme, programme: Programme) -> list[Command]:
    """What is new begins, what is otherwise changes."""
    commands: list[Command] = []
    for name, player in programme.players.items():
        csrc = room.csrcs.of(player_column(name))
        if name not in before.players:
            commands.append(OpenPlayer(room.id, name, csrc, player))
        elif player != before.players[name]:
            commands.append(ChangePlayer(room.id, name, csrc, player))
        if player.align:
            commands += tap(room, name, csrc, player, before.aligned().get(name))
    for name, effect in programme.effects.items():
        csrc = room.csrcs.of(effect_column(name))
        if name not in before.effects:
            commands.append(StartEffect(room.id, name, csrc, effect))
            room.tell("effect.started", effect=name, sound=effect.sound)
        elif effect != before.effects[name]:
            commands.append(ChangeEffect(room.id, name, csrc, effect))
    return commands


def _to_crowds(room: Room, programme: Programme, gone: Container[int]) -> list[Command]:
    """Brings rows to what is played for whom. gone: columns that are about to fade out, so that for whom they were
    not they must stay silent: their cells stay until the row changes again."""
    before = {row: rows.cells(room, hearing) for row, hearing in room.rows}
    regrouped = room.programme.named() ^ programme.named()
    room.programme = programme
    commands: list[Command] = []
    for row, hearing in room.rows:
        cells = (*rows.cells(room, hearing), *((csrc, factor) for csrc, factor in before[row] if csrc in gone))
        if set(cells) != set(before[row]):
            commands.append(SetRow(room.id, row, cells, rows.places(room, hearing)))
    for user in sorted(regrouped):
        commands += rows.follow(room, user)
    return commands
