"""The flows of the anyRTC document (shared/seeds/003), over real WebSockets, with a real media server and aiortc's
peers: is who answers heard, and who is removed not?"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import httpx
import pytest
from py_vapid import Vapid02

from mediaserver.client import verify_webhook
from roomservice.model.calls import GRACE_S, RING_S
from roomservice.model.person import PushSubscription
from roomservice.push.webpush import WebPush
from roomservice.talk.people import KeptSubscriptions, People
from tests.client import Listener, until
from tests.phones import SECRET, Phone, Phones, phones
from tests.push_receiver import Browser, Receiver, receiver
from tests.server import Server
from tests.test_music_gate import certificate_of
from tests.test_rooms import ANN_HZ, BOB_HZ, CYD_HZ, hears, loudness
from tests.wired import wired

RING_BACK_HZ = 425
SILENT_DB, THERE_DB = -50, -35


@pytest.fixture
async def town(server: Server) -> AsyncIterator[Phones]:
    async with phones(server.url) as made:
        yield made


async def silent(listener: Listener, pitch_hz: int) -> None:
    await until(lambda: loudness(listener, pitch_hz) < SILENT_DB, say=f"{pitch_hz} Hz is not heard")


async def answered(town: Phones, *users: str) -> tuple[str, list[Phone]]:
    """A call of the first to the others, who have answered."""
    caller, *callees = phones = await town.phones(*users)
    call = (await caller.call("start_call", users=list(users[1:])))["id"]
    for phone in callees:
        await phone.event("call_incoming", call=call)
        await phone.call("answer_call", call=call)
    return call, phones


async def pushed(hook: Receiver, event: str) -> dict[str, object]:
    """The push of this event, once it has come; it is genuine."""

    def found() -> dict[str, object] | None:
        for one in hook.received:
            said = json.loads(one.body)
            if said["event"] == event:
                assert verify_webhook(SECRET, one.headers, one.body, float(one.headers["webhook-timestamp"]))
                return dict(said)
        return None

    await until(lambda: found() is not None, say=f"{event} is pushed")
    return found() or {}


# ---- one to one


async def test_one_to_one_online_rings_at_both_ends_is_answered_talked_and_hung_up(town: Phones) -> None:
    ann, bob = await town.phones("ann", "bob")
    (online,) = (await ann.call("query_online", users=["bob"]))["users"]
    assert online["online"]
    call = (await ann.call("start_call", users=["bob"], data='{"video": false}'))["id"]
    incoming = await bob.event("call_incoming", call=call)
    assert (incoming["data"]["by"], incoming["data"]["data"]) == ("ann", '{"video": false}')
    await bob.call("ring", call=call)
    await ann.event("call_ringing", user="bob")

    voice, ear = await ann.joins(call, ANN_HZ)
    await until(lambda: loudness(ear, RING_BACK_HZ) > THERE_DB, say="ann hears the ring-back tone")
    assert await bob.refused("get_call_media", call=call) == "not-in-call"

    await bob.call("answer_call", call=call)
    await ann.event("call_answered", user="bob")
    _, bobs_ear = await bob.joins(call, BOB_HZ)
    await asyncio.gather(hears(ear, BOB_HZ), hears(bobs_ear, ANN_HZ))
    await silent(ear, RING_BACK_HZ)
    assert loudness(bobs_ear, BOB_HZ) < SILENT_DB, "nobody hears himself"

    town.later(42)
    await bob.call("hang_up", call=call)
    for phone in (ann, bob):
        ended = await phone.event("call_ended", call=call)
        assert ended["data"]["reason"] == "completed"
        assert 42 <= ended["data"]["duration_s"] < 60
    await asyncio.gather(voice.closed(), ear.closed(), bobs_ear.closed())
    (record,) = (await ann.call("get_call_history"))["calls"]
    assert (record["call"], record["parties"]) == (call, {"ann": "completed", "bob": "hung up"})


async def test_one_to_one_the_other_hangs_up_and_the_caller_is_told(town: Phones) -> None:
    ann, bob = await town.phones("ann", "bob")
    call = (await ann.call("start_call", users=["bob"]))["id"]
    await bob.event("call_incoming")
    await bob.call("reject_call", call=call, data="in a meeting")
    left = await ann.event("call_party_left", user="bob")
    assert (left["data"]["reason"], left["data"]["data"]) == ("rejected", "in a meeting")
    assert (await ann.event("call_ended"))["data"] == {"call": call, "reason": "rejected", "duration_s": 0}
    assert (await ann.call("get_current_call"))["call"] is None


async def test_one_to_one_offline_is_pushed_and_the_caller_waits_until_the_pushed_one_answers(town: Phones) -> None:
    await town.known("bob")
    ann = await town.phone("ann")
    (online,) = (await ann.call("query_online", users=["bob"]))["users"]
    assert not online["online"]
    call = (await ann.call("start_call", users=["bob"], data="hello"))["id"]
    said = await pushed(town.hook, "call_incoming")
    assert (said["user"], said["data"]["call"], said["data"]["data"]) == ("bob", call, "hello")  # type: ignore[index]
    town.later(RING_S - 5)
    assert (await ann.call("get_current_call"))["call"]["parties"][1]["state"] == "ringing"
    bob = await town.phone("bob")  # he has tapped on it
    ringing = (await bob.call("get_current_call"))["call"]
    assert (ringing["id"], ringing["data"]) == (call, "hello")
    await bob.call("answer_call", call=call)
    await ann.event("call_answered", user="bob")
    (_, ear), (_, bobs_ear) = await ann.joins(call, ANN_HZ), await bob.joins(call, BOB_HZ)
    await asyncio.gather(hears(ear, BOB_HZ), hears(bobs_ear, ANN_HZ))
    assert (await pushed(town.hook, "call_stopped"))["user"] == "bob"


async def test_one_to_one_offline_and_rejected_after_the_push(town: Phones) -> None:
    await town.known("bob")
    ann = await town.phone("ann")
    await ann.call("start_call", users=["bob"])
    await pushed(town.hook, "call_incoming")
    bob = await town.phone("bob")
    await bob.call("reject_call", call=(await bob.call("get_current_call"))["call"]["id"])
    assert (await ann.event("call_ended"))["data"]["reason"] == "rejected"


class Registered:
    """What users of a service have registered; the service comes later than what pushes for it."""

    people: People

    async def of(self, user: str) -> Sequence[PushSubscription]:
        return await KeptSubscriptions(self.people).of(user)

    async def forget(self, user: str, endpoint: str) -> None:
        await KeptSubscriptions(self.people).forget(user, endpoint)


async def test_one_to_one_offline_is_pushed_to_the_browser_which_alone_can_read_it(tmp_path: Path) -> None:
    context, trusting = certificate_of("localhost", tmp_path)
    registered, key = Registered(), Vapid02()
    key.generate_keys()
    with receiver(context) as known:
        host = known.url.replace("https://127.0.0.1", "localhost")
        async with httpx.AsyncClient(verify=trusting) as http:
            push = WebPush(http, registered, key, "mailto:ops@example.org", time.time, services=(host,))
            async with wired(push=push, browsers=push) as service:
                registered.people = service.world.talk.people
                browser = Browser(f"https://{host}/push/1")
                async with await service.client("bob") as bob:
                    await bob.call("register_push", endpoint=browser.endpoint, keys=browser.keys)
                async with await service.client("ann") as ann:
                    call = (await ann.call("start_call", users=["bob"]))["id"]
                    await until(lambda: known.received, say="bob's browser is pushed to")
                    said = json.loads(browser.read(known.received[0].body))
                    assert (said["event"], said["data"]["call"]) == ("call_incoming", call)
                    async with await service.client("bob") as bob:
                        await bob.call("answer_call", call=call)
                        await ann.event("call_answered", user="bob")
                    known.answers = [410]
                    await ann.call("send_direct_message", user="bob", text="are you there?")
                    await until(lambda: len(known.received) > 2, say="a message is pushed, too")
                    pushed = [json.loads(browser.read(one.body))["event"] for one in known.received]
                    assert pushed == ["call_incoming", "call_stopped", "message"]


async def test_who_is_offline_finds_the_call_among_what_he_missed(town: Phones) -> None:
    bob = await town.phone("bob")
    seen = dict(bob.rpc.seen)
    await bob.rpc.socket.close()
    await town.gone("bob")
    ann = await town.phone("ann")
    call = (await ann.call("start_call", users=["bob"]))["id"]
    bob = await town.phone("bob", resume=seen)
    assert (await bob.event("call_incoming"))["data"]["call"] == call


# ---- what goes wrong


async def test_nobody_answers_for_60_s_and_both_ends_time_out(town: Phones) -> None:
    ann, bob = await town.phones("ann", "bob")
    call = (await ann.call("start_call", users=["bob"]))["id"]
    until_ = (await bob.event("call_incoming"))["data"]["until"]
    assert abs(until_ - town.service.world.clock() - RING_S) < 5
    town.later(RING_S)
    for phone in (ann, bob):
        assert (await phone.event("call_ended"))["data"]["reason"] == "timed out"
    assert await bob.refused("answer_call", call=call) == "call-ended"


@pytest.mark.parametrize("who", ["ann", "bob"])
async def test_caller_or_callee_crashes_and_the_other_is_told(town: Phones, who: str) -> None:
    call, phones = await answered(town, "ann", "bob")
    (crashed,) = [phone for phone in phones if phone.user == who]
    (other,) = [phone for phone in phones if phone.user != who]
    await other.call("subscribe_presence", users=[who])
    await crashed.crashes()
    await other.event("call_party_lost", user=who)
    assert not (await other.event("presence_changed", user=who, online=False))["data"]["devices"]
    town.later(GRACE_S)
    assert (await other.event("call_party_left", user=who))["data"]["reason"] == "crashed"
    assert (await other.event("call_ended"))["data"]["call"] == call


async def test_who_crashed_and_is_back_in_time_goes_on(town: Phones) -> None:
    call, (ann, bob) = await answered(town, "ann", "bob")
    await bob.crashes()
    await ann.event("call_party_lost", user="bob")
    bob = await town.phone("bob")
    await ann.event("call_party_back", user="bob")
    town.later(GRACE_S + 1)
    _, ear = await ann.joins(call, ANN_HZ)
    await bob.joins(call, BOB_HZ)
    await hears(ear, BOB_HZ)


async def test_the_caller_crashes_while_it_rings_and_the_callee_stops_ringing(town: Phones) -> None:
    ann, bob = await town.phones("ann", "bob")
    await ann.call("start_call", users=["bob"])
    await bob.event("call_incoming")
    await ann.crashes()
    await town.gone("ann")
    town.later(GRACE_S)
    assert (await bob.event("call_ended"))["data"]["reason"] == "crashed"


async def test_a_busy_line_is_rejected_with_its_reason(town: Phones) -> None:
    await answered(town, "ann", "bob")
    cyd = await town.phone("cyd")
    ended = await cyd.call("start_call", users=["bob"])
    assert (ended["reason"], ended["parties"][1]["reason"]) == ("busy", "busy")
    assert (await cyd.event("call_ended"))["data"]["reason"] == "busy"


# ---- several devices


async def test_answering_on_one_device_stops_the_others(town: Phones) -> None:
    ann = await town.phone("ann")
    phone, tablet = await town.phone("bob", "phone"), await town.phone("bob", "tablet")
    call = (await ann.call("start_call", users=["bob"]))["id"]
    for device in (phone, tablet):
        await device.event("call_incoming", call=call)
    await tablet.call("answer_call", call=call)
    await phone.event("call_answered_elsewhere", call=call)
    assert "call_answered_elsewhere" not in [one["event"] for one in tablet.rpc.events]
    for method in ("answer_call", "hang_up", "get_call_media"):
        assert await phone.refused(method, call=call) == "answered-elsewhere"
    await tablet.joins(call, BOB_HZ)
    await phone.crashes()
    await tablet.call("mute_party", call=call)
    assert (await ann.event("call_muted"))["data"]["mutes"] == ["self"]


# ---- one to many


async def test_one_to_many_online_offline_and_busy_each_by_himself(town: Phones) -> None:
    await answered(town, "eve", "dan")
    await town.known("off")
    ann, bob, cyd = await town.phones("ann", "bob", "cyd")
    call = (await ann.call("start_call", users=["bob", "cyd", "off", "dan"]))["id"]
    parties = (await ann.event("call_parties"))["data"]["parties"]
    assert parties == {"bob": "ringing", "cyd": "ringing", "off": "ringing", "dan": "busy"}
    assert (await pushed(town.hook, "call_incoming"))["user"] == "off"
    await bob.call("answer_call", call=call)
    await cyd.call("answer_call", call=call)
    (_, ear), (_, bobs_ear), (_, cyds_ear) = [
        await phone.joins(call, pitch) for phone, pitch in ((ann, ANN_HZ), (bob, BOB_HZ), (cyd, CYD_HZ))
    ]
    await asyncio.gather(
        *(hears(one, pitch) for one, pitch in ((ear, BOB_HZ), (ear, CYD_HZ), (bobs_ear, CYD_HZ), (cyds_ear, ANN_HZ)))
    )
    town.later(RING_S)
    assert (await ann.event("call_party_left", user="off"))["data"]["reason"] == "timed out"
    await ann.call("hang_up", call=call)
    assert (await bob.event("call_owner"))["data"]["user"] == "bob"
    await cyd.call("hang_up", call=call)
    await bob.event("call_ended")
    (record,) = (await bob.call("get_call_history"))["calls"]
    assert record["parties"] == {
        "ann": "hung up",
        "bob": "completed",
        "cyd": "hung up",
        "off": "timed out",
        "dan": "busy",
    }


async def test_others_are_invited_during_a_call(town: Phones) -> None:
    call, (ann, bob) = await answered(town, "ann", "bob")
    cyd = await town.phone("cyd")
    assert await cyd.refused("get_call", call=call) == "not-in-call"
    await bob.call("call_in", call=call, users=["cyd"])
    assert (await ann.event("call_parties", by="bob"))["data"]["parties"] == {"cyd": "ringing"}
    await cyd.event("call_incoming", call=call, by="bob")
    await cyd.call("answer_call", call=call)
    _, ear = await ann.joins(call, ANN_HZ)
    await cyd.joins(call, CYD_HZ)
    await hears(ear, CYD_HZ)


async def test_control_in_a_call_acts_at_once(town: Phones) -> None:
    """Muted: not heard. Removed: neither heard nor hears. Handed over: another leads."""
    call, (ann, bob, cyd) = await answered(town, "ann", "bob", "cyd")
    (_, ear), (voice, bobs_ear), _ = [
        await phone.joins(call, pitch) for phone, pitch in ((ann, ANN_HZ), (bob, BOB_HZ), (cyd, CYD_HZ))
    ]
    await asyncio.gather(hears(ear, BOB_HZ), hears(bobs_ear, ANN_HZ))
    assert await bob.refused("mute_party", call=call, user="cyd") == "not-permitted"
    await ann.call("mute_party", call=call, user="bob")
    await bob.event("call_muted", user="bob")
    await silent(ear, BOB_HZ)
    await bob.call("mute_party", call=call, muted=False)  # the owner's mute is not his to undo
    assert (await bob.call("get_call", call=call))["parties"][1]["mutes"] == ["host"]
    await ann.call("mute_party", call=call, user="bob", muted=False)
    await hears(ear, BOB_HZ)
    await ann.call("remove_party", call=call, user="bob")
    assert (await bob.event("call_party_left", user="bob"))["data"]["reason"] == "removed"
    await asyncio.gather(voice.closed(), bobs_ear.closed())
    await silent(ear, BOB_HZ)
    assert await bob.refused("get_call_media", call=call) == "not-in-call"
    await ann.call("hand_over_call", call=call, user="cyd")
    await cyd.event("call_owner", user="cyd")
    assert await ann.refused("mute_party", call=call, user="cyd") == "not-permitted"


async def test_who_hangs_up_hears_the_others_no_more(town: Phones) -> None:
    call, (ann, bob, cyd) = await answered(town, "ann", "bob", "cyd")
    await ann.joins(call, ANN_HZ)
    _, ear = await cyd.joins(call, CYD_HZ)
    await hears(ear, ANN_HZ)
    await cyd.call("hang_up", call=call)
    await ear.closed()
    await bob.event("call_party_left", user="cyd")


# ---- the real-time messages that the document names


async def test_messages_to_a_peer_and_a_channel_attributes_of_both_and_history(town: Phones) -> None:
    ann, bob = await town.phones("ann", "bob")
    await ann.call("send_direct_message", user="bob", text="ready?", type="custom")
    assert (await bob.event("message"))["data"]["data"]["to"] == "bob"
    channel = (await ann.call("create_group", name="channel"))["id"]
    await bob.call("join_group", group=channel)
    await bob.call("send_message", group=channel, text="hello all")
    await ann.event("message", by="bob")
    await ann.call("set_group_attributes", group=channel, values={"topic": "jazz"})
    await bob.event("group_attributes")
    await ann.call("subscribe_presence", users=["bob"])
    await bob.call("set_user_attributes", values={"state": "on the line"})
    await ann.event("user_attributes", user="bob")
    (message,) = (await ann.call("get_messages", group=channel))["messages"]
    assert message["data"]["text"] == "hello all"
