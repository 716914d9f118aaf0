"""The numbers that a commit's events and messages get: the same for every storage. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from roomservice.commit import FOLLOWED, LEFT, MESSAGE, RECALLED, Commit, Event, KeptMessage, Numbered, user_stream


def counter(conversation: str) -> str:
    """What counts a conversation's messages, among the streams."""
    return f"talk:{conversation}"


def counted(commit: Commit) -> frozenset[str]:
    """All streams and counters whose last number must be known, and stand still, while the commit is numbered."""
    told = {event.stream for event in commit.events}
    told |= {stream for message in commit.messages for stream in (*message.streams, counter(message.conversation))}
    told |= {stream for recall in commit.recalls for stream in recall.streams}
    told |= {stream for one in commit.subscriptions for stream in (one.stream, user_stream(one.user))}
    return frozenset(told)


@dataclass(frozen=True, slots=True)
class Outcome:
    """last: of those that have changed."""

    events: tuple[Numbered, ...]
    messages: tuple[KeptMessage, ...]
    last: Mapping[str, int]


def number(
    commit: Commit,
    now: float,
    last: Mapping[str, int],
    following: Collection[tuple[str, str]],
    recalled: Collection[tuple[str, str]],
) -> Outcome:
    """following: of the commit's (user, stream), those that are so before; recalled: of its (conversation, id), those
    that are so before, or never were."""
    numbers, events, messages = dict(last), list[Numbered](), list[KeptMessage]()

    def tell(event: Event) -> None:
        numbers[event.stream] = seq = numbers.get(event.stream, 0) + 1
        events.append(Numbered(event.stream, seq, now, event.name, event.data, event.except_device))

    changed = [one for one in commit.subscriptions if one.on != ((one.user, one.stream) in following)]
    for one in changed:
        if one.on:
            said = {"stream": one.stream, "after": last.get(one.stream, 0)}
            tell(Event(user_stream(one.user), FOLLOWED, said))
    for event in commit.events:
        tell(event)
    for message in commit.messages:
        count = counter(message.conversation)
        numbers[count] = place = numbers.get(count, 0) + 1
        kept = KeptMessage(message.conversation, place, message.id, message.by, message.type, message.data, now)
        messages.append(kept)
        for stream in message.streams:
            tell(Event(stream, MESSAGE, _shown(kept)))
    for recall in commit.recalls:
        if (recall.conversation, recall.id) not in recalled:
            for stream in recall.streams:
                said = {"conversation": recall.conversation, "id": recall.id, "by": recall.by}
                tell(Event(stream, RECALLED, said))
    for one in changed:
        if not one.on:
            said = {"stream": one.stream, "last": numbers.get(one.stream, 0)}
            tell(Event(user_stream(one.user), LEFT, said))
    return Outcome(tuple(events), tuple(messages), {key: n for key, n in numbers.items() if n != last.get(key, 0)})


def _shown(message: KeptMessage) -> dict[str, object]:
    return {
        "conversation": message.conversation,
        "id": message.id,
        "number": message.number,
        "by": message.by,
        "type": message.type,
        "data": message.data,
        "at": message.at,
    }
