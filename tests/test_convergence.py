"""Whatever is put, patched, said by participants and lost in crashes: the server comes to the state that was put last.

A plain model in Python knows the documents, the seats and who listens, and nothing of how the server does it. After
each step the server's documents, the plane's matrix (who hears whom how loud) and the ETags are compared with it."""

import asyncio
import copy
import shutil
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mediaserver.place import pan_gains
from mediaserver.programme import effect_column, player_column, tap_column
from mediaserver.sessions import Session, State
from mediaserver.voices import VoiceEffect
from tests.edge import NOW, Edge, bearer
from tests.offers import offer

ROOMS = ("hall", "table / 2")
USERS = ("ann", "bob", "cem")
STEP_DB = 3.0

rooms = st.sampled_from(ROOMS)
users = st.sampled_from(USERS)
gains = st.sampled_from([-60.0, -6.0, -4.4, 0.0, 3.0, 12.0])
mutes = st.dictionaries(st.sampled_from(["self", "host", "system"]), st.booleans())
pans = st.sampled_from([-1.0, -0.5, 0.0, 0.25])
voice_effects = st.sampled_from([effect.value for effect in VoiceEffect])
speakers = st.fixed_dictionaries(
    {},
    optional={
        "may_publish": st.booleans(),
        "gain_db": gains,
        "mutes": mutes,
        "seat": st.integers(0, 2),
        "pan": pans,
        "voice_effect": voice_effects,
    },
)
listeners = st.fixed_dictionaries(
    {},
    optional={
        "user_gains_db": st.dictionaries(users, gains, max_size=2),
        "user_mutes": st.dictionaries(users, st.booleans(), max_size=2),
        "user_pans": st.dictionaries(users, pans, max_size=2),
        "music_gain_db": gains,
    },
)
publics = st.sampled_from(["everybody", "listeners", "speakers"])
audiences = publics | st.lists(users, min_size=1, unique=True).map(sorted)
# What they play is not there: players are what is put, whatever becomes of their tracks.
tracks = st.sampled_from(
    [[], [{"media": "nosuch"}], [{"media": "nosuch", "key": "one"}, {"media": "nor", "key": "two"}]]
)
players = st.dictionaries(
    st.sampled_from(["music", "jingles"]),
    st.fixed_dictionaries(
        {},
        optional={
            "tracks": tracks,
            "state": st.sampled_from(["playing", "paused", "stopped"]),
            "volume_db": gains,
            "repeat": st.sampled_from(["none", "one", "all"]),
            "crossfade_ms": st.integers(0, 1000),
            "audience": audiences,
            "pan": pans,
            "align": st.booleans(),
            "align_offset_ms": st.integers(-200, 200),
        },
    ),
)
effects = st.dictionaries(
    st.sampled_from(["ring", "busy"]),
    st.fixed_dictionaries({}, optional={"gain_db": gains, "pan": pans, "audience": audiences}),
).map(lambda many: {sound: {"sound": sound, **effect} for sound, effect in many.items()})


def has_own_seats(document: dict[str, Any]) -> bool:
    seats = [speaker["seat"] for speaker in document.get("speakers", {}).values() if "seat" in speaker]
    return len(set(seats)) == len(seats)


documents = st.fixed_dictionaries(
    {},
    optional={
        "speakers": st.dictionaries(users, speakers),
        "listeners": st.dictionaries(users, listeners),
        "players": players,
        "effects": effects,
        "scenario": st.sampled_from(["chat", "ktv", "call"]),
        "mix": st.fixed_dictionaries(
            {}, optional={"bitrate": st.sampled_from([24_000, 64_000]), "stereo": st.booleans()}
        ),
        "metadata": st.dictionaries(st.sampled_from("ab"), st.integers(0, 2)),
    },
).filter(has_own_seats)
nullable_speakers = st.fixed_dictionaries(
    {},
    optional={
        "may_publish": st.none() | st.booleans(),
        "gain_db": st.none() | gains,
        "mutes": st.none() | st.dictionaries(st.sampled_from(["self", "host"]), st.none() | st.booleans()),
        "seat": st.none() | st.integers(0, 2),
        "pan": st.none() | pans,
        "voice_effect": st.none() | voice_effects,
    },
)
patches = st.fixed_dictionaries(
    {},
    optional={
        "speakers": st.none() | st.dictionaries(users, st.none() | nullable_speakers),
        "listeners": st.none() | st.dictionaries(users, st.none() | listeners),
        "players": st.none() | players | st.fixed_dictionaries({"music": st.none()}),
        "effects": st.none() | effects | st.fixed_dictionaries({"ring": st.none()}),
        "scenario": st.none() | st.sampled_from(["chat", "ktv"]),
        "metadata": st.none() | st.dictionaries(st.sampled_from("ab"), st.none() | st.integers(0, 2)),
    },
)


# The plain model


def filled_speaker(speaker: dict[str, Any]) -> dict[str, Any]:
    result = {"may_publish": True, "gain_db": 0.0, **speaker}
    result["mutes"] = {source: True for source, is_set in speaker.get("mutes", {}).items() if is_set}
    return result


def filled_listener(listener: dict[str, Any]) -> dict[str, Any]:
    return {
        "user_gains_db": listener.get("user_gains_db", {}),
        "user_mutes": {user: True for user, is_set in listener.get("user_mutes", {}).items() if is_set},
        "user_pans": listener.get("user_pans", {}),
        "music_gain_db": listener.get("music_gain_db", 0.0),
    }


def filled_player(player: dict[str, Any]) -> dict[str, Any]:
    return {
        "tracks": [],
        "state": "playing",
        "volume_db": 0.0,
        "repeat": "none",
        "shuffle": False,
        "fade_in_ms": 20,
        "fade_out_ms": 20,
        "crossfade_ms": 0,
        "audience": "everybody",
        "pan": 0.0,
        "align": False,
        "align_offset_ms": 0,
        **player,
    }


def filled(document: dict[str, Any]) -> dict[str, Any]:
    result = {
        "players": {},
        "effects": {},
        "mix": {},
        "limits": {},
        "scenario": "chat",
        "metadata": {},
        "e2ee": False,
        **document,
    }
    result["speakers"] = {user: filled_speaker(speaker) for user, speaker in document.get("speakers", {}).items()}
    wishes = {user: filled_listener(listener) for user, listener in document.get("listeners", {}).items()}
    result["players"] = {name: filled_player(player) for name, player in document.get("players", {}).items()}
    result["effects"] = {
        name: {"gain_db": 0.0, "pan": 0.0, "audience": "everybody", **effect}
        for name, effect in document.get("effects", {}).items()
    }
    result["listeners"] = {user: listener for user, listener in wishes.items() if any(listener.values())}
    return result


def merged(target: Any, change: Any) -> Any:
    if not isinstance(change, dict):
        return change
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in change.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def loudness(gain_db: float) -> float:
    return 0.0 if gain_db <= -60 else 10 ** (gain_db / 20)


def heard(document: dict[str, Any], listener: str, speaker: str) -> float:
    """How loud a listener to the mix hears somebody with a seat."""
    seat = document["speakers"][speaker]
    if listener == speaker or not seat["may_publish"] or seat["mutes"]:
        return 0.0
    wishes = document["listeners"].get(listener, {"user_gains_db": {}, "user_mutes": {}})
    if wishes["user_mutes"].get(speaker):
        return 0.0
    own = wishes["user_gains_db"].get(speaker, 0.0)
    return loudness(seat["gain_db"]) * loudness(round(own / STEP_DB) * STEP_DB)


def is_for(document: dict[str, Any], audience: str | list[str], listener: str) -> bool:
    if isinstance(audience, list):
        return listener in audience
    return audience == "everybody" or (audience == "speakers") == (listener in document["speakers"])


def heard_music(document: dict[str, Any], listener: str, player: dict[str, Any], *, later: bool = False) -> float:
    """As a factor: how loud it is played is its decks' matter. later: of what those hear who have no seat, where
    speakers sing to it."""
    own = document["listeners"].get(listener, {"music_gain_db": 0.0})["music_gain_db"]
    if not is_for(document, player["audience"], listener):
        return 0.0
    if player["align"] and later == (listener in document["speakers"]):
        return 0.0
    return loudness(round(own / STEP_DB) * STEP_DB)


def heard_effect(document: dict[str, Any], listener: str, effect: dict[str, Any]) -> float:
    return loudness(effect["gain_db"]) if is_for(document, effect["audience"], listener) else 0.0


class Convergence(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.directory = Path(tempfile.mkdtemp())
        self.lives = 0
        self.known: dict[str, dict[str, Any]] = {}
        self.listening: dict[tuple[str, str], str] = {}  # (room, user) -> address of the session
        self.connected: set[tuple[str, str]] = set()  # of those who listen
        self.edge: Edge

    @initialize()
    def begin(self) -> None:
        self.start(self.directory / "state")

    def start(self, path: Path) -> None:
        self.path = path

        async def start() -> None:
            now = self.edge.now if hasattr(self, "edge") else NOW
            self.edge = Edge(state=str(path), mixes_per_room=100)
            self.edge.now = now
            self.edge.node.start()

        self.loop.run_until_complete(start())

    def call(self, method: str, *path: str, **options: Any) -> httpx.Response:
        return self.loop.run_until_complete(self.edge.control(method, *path, **options))

    def teardown(self) -> None:
        async def stop() -> None:
            self.edge.node.stop()

        self.loop.run_until_complete(stop())
        self.loop.close()
        shutil.rmtree(self.directory)

    # What a room service says

    @rule(room=rooms, document=documents)
    def put(self, room: str, document: dict[str, Any]) -> None:
        response = self.call("PUT", "rooms", room, json=document)
        assert response.status_code == (200 if room in self.known else 201), response.text
        self.known[room] = self.after_put(room, document)

    def after_put(self, room: str, document: dict[str, Any]) -> dict[str, Any]:
        before = self.known.get(room, filled({}))
        after = filled(document)
        for user, speaker in after["speakers"].items():
            says_self = "self" in document["speakers"][user].get("mutes", {})
            if not says_self and before["speakers"].get(user, {}).get("mutes", {}).get("self"):
                speaker["mutes"]["self"] = True
        named = document.get("listeners", {})
        kept = {user: wishes for user, wishes in before["listeners"].items() if user not in named}
        after["listeners"] = kept | after["listeners"]
        return after

    @rule(many=st.dictionaries(rooms, documents, min_size=1))
    def put_many(self, many: dict[str, dict[str, Any]]) -> None:
        results = self.call("PUT", "rooms", json={"rooms": many}).json()["rooms"]
        for room, document in many.items():
            assert results[room]["status"] == (200 if room in self.known else 201)
            self.known[room] = self.after_put(room, document)

    @precondition(lambda self: self.known)
    @rule(data=st.data(), change=patches)
    def patch(self, data: st.DataObject, change: dict[str, Any]) -> None:
        room = data.draw(st.sampled_from(sorted(self.known)))
        document = merged(self.known[room], change)
        response = self.call("PATCH", "rooms", room, json=change)
        if not has_own_seats(document):
            assert response.status_code == 422
            return
        assert response.status_code == 200, response.text
        self.known[room] = filled(document)

    @precondition(lambda self: self.known)
    @rule(data=st.data(), user=users, source=st.sampled_from(["host", "system"]), is_set=st.booleans())
    def mute(self, data: st.DataObject, user: str, source: str, is_set: bool) -> None:
        room = data.draw(st.sampled_from(sorted(self.known)))
        method = "PUT" if is_set else "DELETE"
        response = self.call(method, "rooms", room, "speakers", user, "mutes", source)
        self.after_mute(room, user, source, is_set, response)

    @rule(room=rooms)
    def delete(self, room: str) -> None:
        assert self.call("DELETE", "rooms", room).status_code == 204
        self.known.pop(room, None)
        self.forget_sessions(room)

    @precondition(lambda self: self.known)
    @rule(data=st.data(), user=users)
    def kick(self, data: st.DataObject, user: str) -> None:
        room = data.draw(st.sampled_from(sorted(self.known)))
        assert self.call("DELETE", "rooms", room, "participants", user).status_code == 204
        self.known[room]["speakers"].pop(user, None)
        self.listening.pop((room, user), None)
        self.connected.discard((room, user))
        self.edge.now += 10  # tokens issued from now on are good again

    @precondition(lambda self: len(self.known) == 2)
    @rule(room=rooms, user=users)
    def move(self, room: str, user: str) -> None:
        (other,) = set(ROOMS) - {room}
        if (other, user) in self.connected and (room, user) in self.listening:
            self.connect_session(room, user)  # else both are there until it is
        response = self.call("POST", "rooms", room, "participants", user, "move", json={"room": other})
        if (room, user) not in self.listening:
            assert response.status_code == 404
            return
        assert response.status_code == 200, response.text
        self.listening[other, user] = self.listening.pop((room, user))
        if (room, user) in self.connected:
            self.connected.remove((room, user))
            self.connected.add((other, user))
        seat = self.known[room]["speakers"].pop(user, None)
        if seat is not None and user not in self.known[other]["speakers"]:
            seat.pop("seat", None)
            self.known[other]["speakers"][user] = seat

    # What participants say

    @precondition(lambda self: self.known)
    @rule(data=st.data(), user=users, is_set=st.booleans())
    def mute_oneself(self, data: st.DataObject, user: str, is_set: bool) -> None:
        room = data.draw(st.sampled_from(sorted(self.known)))
        response = self.as_participant(
            "PUT" if is_set else "DELETE", room, user, f"/v1/rooms/{self.quoted(room)}/speakers/{user}/mutes/self"
        )
        self.after_mute(room, user, "self", is_set, response)

    @precondition(lambda self: self.known)
    @rule(data=st.data(), user=users, wishes=listeners)
    def wish(self, data: st.DataObject, user: str, wishes: dict[str, Any]) -> None:
        room = data.draw(st.sampled_from(sorted(self.known)))
        response = self.as_participant(
            "PUT", room, user, f"/v1/rooms/{self.quoted(room)}/listeners/{user}", json=wishes
        )
        assert response.status_code == 200, response.text
        self.known[room]["listeners"].pop(user, None)
        if any(filled_listener(wishes).values()):
            self.known[room]["listeners"][user] = filled_listener(wishes)

    @precondition(lambda self: self.known)
    @rule(data=st.data(), user=users)
    def listen(self, data: st.DataObject, user: str) -> None:
        room = data.draw(st.sampled_from(sorted(self.known)))
        path = f"/whep/{self.quoted(room)}?mode=mix"
        response = self.as_participant(
            "POST", room, user, path, content=offer("recvonly"), headers={"Content-Type": "application/sdp"}
        )
        assert response.status_code == 201, response.text
        self.listening[room, user] = response.headers["location"]
        if (room, user) in self.connected:
            self.connect_session(room, user)  # until it is, the older one stays

    @precondition(lambda self: self.listening)
    @rule(data=st.data())
    def connect(self, data: st.DataObject) -> None:
        self.connect_session(*data.draw(st.sampled_from(sorted(self.listening))))

    @precondition(lambda self: self.listening)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.listening)))
        address = self.listening.pop(key)
        self.connected.discard(key)
        delete = self.edge.http.delete(address, auth=self.edge.service)
        assert self.loop.run_until_complete(delete).status_code == 200

    # What happens to a server

    @rule()
    def restart(self) -> None:
        async def stop() -> None:
            self.edge.node.stop()

        self.loop.run_until_complete(stop())
        self.listening.clear()
        self.connected.clear()
        self.start(self.path)

    @rule()
    def crash(self) -> None:
        """Another process finds the file as it is, with nothing said in farewell."""
        self.lives += 1
        copy_of = self.directory / f"state{self.lives}"
        for path in self.directory.glob(f"{self.path.name}*"):
            suffix = path.name.removeprefix(self.path.name)
            if suffix in ("", "-wal", "-shm"):
                shutil.copy(path, f"{copy_of}{suffix}")

        async def stop() -> None:
            self.edge.node.stop()

        self.loop.run_until_complete(stop())
        self.listening.clear()
        self.connected.clear()
        self.start(copy_of)

    # What must be so

    @invariant()
    def documents_are_what_was_put_last(self) -> None:
        if not hasattr(self, "edge"):
            return
        assert set(self.edge.node.rooms) == set(self.known)
        for room, document in self.known.items():
            found = self.call("GET", "rooms", room)
            assert found.json() == document

    @invariant()
    def the_matrix_says_who_hears_whom_how_loud(self) -> None:
        if not hasattr(self, "edge"):
            return
        plane = self.edge.plane
        for name, document in self.known.items():
            room = self.edge.node.rooms[name]
            columns = {csrc: gain for (of, csrc), gain in plane.columns.items() if of == room.id}
            players = {player: room.csrcs.of(player_column(player)) for player in document["players"]}
            # Csrcs of effects are their own: of what was started anew.
            played = {effect: room.csrcs.of(effect_column(effect)) for effect in document["effects"]}
            seats = {room.csrcs.of(user) for user in document["speakers"]}
            taps = {
                player: room.csrcs.of(tap_column(player))
                for player, wish in document["players"].items()
                if wish["align"]
            }
            assert columns.keys() == seats | {*players.values(), *taps.values(), *played.values()}
            for user, speaker in document["speakers"].items():
                assert plane.places[room.id, room.csrcs.of(user)] == pan_gains(speaker.get("pan", 0.0))
                assert bool(plane.chains.get((room.id, room.csrcs.of(user)))) == ("voice_effect" in speaker)
            for player, csrc in players.items():
                assert plane.places[room.id, csrc] == pan_gains(document["players"][player]["pan"])
            listening = {user for of, user in self.listening if of == name}
            assert listening == set(room.participants)
            sessions = {session for session in self.edge.node.census.sessions.values() if session.room is room}
            assert sessions == {self.session(name, user) for user in listening}
            for listener in listening:
                row = plane.peers[room.participants[listener].peers["listen"]].row  # type: ignore[index]
                assert row is not None
                cells = plane.rows[room.id, row]
                for speaker in document["speakers"]:
                    csrc = room.csrcs.of(speaker)
                    loud = columns[csrc] * cells.get(csrc, 1.0)
                    assert abs(loud - heard(document, listener, speaker)) < 1e-6
                for player, csrc in players.items():
                    loud = columns[csrc] * cells.get(csrc, 1.0)
                    assert abs(loud - heard_music(document, listener, document["players"][player])) < 1e-6
                for player, csrc in taps.items():
                    loud = columns[csrc] * cells.get(csrc, 1.0)
                    assert abs(loud - heard_music(document, listener, document["players"][player], later=True)) < 1e-6
                for effect, csrc in played.items():
                    loud = columns[csrc] * cells.get(csrc, 1.0)
                    assert abs(loud - heard_effect(document, listener, document["effects"][effect])) < 1e-6
                own = document["listeners"].get(listener, {"user_pans": {}})["user_pans"]
                found = plane.row_places[room.id, row]
                for speaker, pan in own.items():
                    if speaker in document["speakers"] and speaker != listener:
                        assert found[room.csrcs.of(speaker)] == pan_gains(pan)
            rows = {row for of, row in plane.rows if of == room.id}
            assert rows == {plane.peers[p.peers["listen"]].row for p in room.participants.values()}  # type: ignore[index]

    @invariant()
    def putting_what_is_shown_changes_nothing(self) -> None:
        if not hasattr(self, "edge"):
            return
        for room in self.known:
            found = self.call("GET", "rooms", room)
            again = self.call("PUT", "rooms", room, json=found.json())
            assert (again.json(), again.headers["etag"]) == (found.json(), found.headers["etag"])

    def after_mute(self, room: str, user: str, source: str, is_set: bool, response: httpx.Response) -> None:
        speaker = self.known[room]["speakers"].get(user)
        if speaker is None:
            assert response.status_code == 404
            return
        assert response.status_code == 200, response.text
        speaker["mutes"] = copy.deepcopy(speaker["mutes"])
        if is_set:
            speaker["mutes"][source] = True
        else:
            speaker["mutes"].pop(source, None)

    def as_participant(self, method: str, room: str, user: str, path: str, **options: Any) -> httpx.Response:
        headers = {
            **options.pop("headers", {}),
            **bearer(user, room, issued=self.edge.now - 1, expires=self.edge.now + 60),
        }
        request = self.edge.http.request(method, path, headers=headers, **options)
        return self.loop.run_until_complete(request)

    def forget_sessions(self, room: str) -> None:
        self.listening = {key: address for key, address in self.listening.items() if key[0] != room}
        self.connected = {key for key in self.connected if key[0] != room}

    def connect_session(self, room: str, user: str) -> None:
        """Its handshake is done, and media flows."""

        async def connect() -> None:
            session = self.session(room, user)
            session.state = State.CONNECTED
            self.edge.node.connected(session)
            self.edge.node.media(session)

        self.loop.run_until_complete(connect())
        self.connected.add((room, user))

    def session(self, room: str, user: str) -> Session:
        return self.edge.node.census.sessions[self.listening[room, user].rpartition("/")[2]]

    @staticmethod
    def quoted(room: str) -> str:
        return quote(room, safe="")


TestConvergence = Convergence.TestCase
TestConvergence.settings = settings(
    max_examples=25,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking takes minutes: by hand, when there is something
)
