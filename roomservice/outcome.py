"""What a command has come to, as one commit: the document, and each effect in the words of commit.py. Pure.

Rules held here
- All effects on the media of one document are one job, which brings the media server to what the document says when it
  is done: jobs that wait are not many, and their order does not matter.
- A user who is cut off, and a push, are jobs of their own, named after the revision that made them: the name is the
  same whenever the job is done, so that the far end can tell a second time from a second one. Who is cut off loses
  his seat by that; the room is put all the same, because an earlier job may be putting what it was before.
- Who follows a document's stream is the difference of who did and who does.
- What has ended gets a last timer, after which it is forgotten.
"""

from collections.abc import Iterable
from itertools import filterfalse
from typing import TypeVar, assert_never

from roomservice.aggregates import Aggregate
from roomservice.commit import (
    Commit,
    Engagement,
    Event,
    Job,
    Record,
    Subscription,
    TimerChange,
    Write,
    user_stream,
)
from roomservice.model import effects
from roomservice.model.effects import Effect, Timer, What

S = TypeVar("S")

KEEP_ENDED_S = 24 * 3600.0
"""What has ended answers so long that it has; after that there is no such thing. Its record stays."""


def put_key(kind: str, id: str) -> str:
    """Of the job that brings the media server to what the document says."""
    return f"put:{kind}:{id}"


def put_job(kind: str, id: str, due: float) -> Job:
    return Job("media", put_key(kind, id), {"kind": kind, "id": id}, due)


def commit_of(
    aggregate: Aggregate[S],
    id: str,
    revision: int | None,
    *,
    before: S | None,
    after: S,
    done: Iterable[Effect],
    now: float,
) -> Commit:
    """revision: of before."""
    kind = aggregate.kind
    parts = {} if aggregate.parts is None else aggregate.parts.written(before, after)
    media = aggregate.media(after) is not None
    events, timers, records = list[Event](), list[TimerChange](), list[Record]()
    jobs, engagements = dict[str, Job](), list[Engagement]()
    for place, effect in enumerate(done):
        mark = f"{kind}:{id}:{(revision or 0) + 1}:{place}"
        match effect:
            case effects.Tell(name, data, users, except_device):
                streams = [aggregate.stream(after)] if users is None else [user_stream(user) for user in users]
                events += [Event(stream, name, data, except_device) for stream in streams]
            case effects.Push(user, name, data):
                payload = {"user": user, "event": name, "data": data}
                jobs[f"push:{mark}"] = Job("push", f"push:{mark}", payload, now)
            case effects.SetTimer(timer, deadline):
                timers.append(TimerChange(kind, id, timer, deadline))
            case effects.DropTimer(timer):
                timers.append(TimerChange(kind, id, timer, None))
            case effects.CutOff(user):
                jobs[f"cut:{mark}"] = Job("media", f"cut:{mark}", {"kind": kind, "id": id, "user": user}, now)
                jobs[put_key(kind, id)] = put_job(kind, id, now)
            case (
                effects.OpenMedia()
                | effects.Reopen()
                | effects.PutSpeaker()
                | effects.DropSpeaker()
                | effects.RingBack()
                | effects.CloseMedia()
            ):
                jobs[put_key(kind, id)] = put_job(kind, id, now)
            case effects.Engage(user):
                engagements.append(Engagement(user, id))
            case effects.Disengage(user):
                engagements.append(Engagement(user, id, False))
            case effects.Record(name, data):
                records.append(Record(name, id, tuple(sorted(aggregate.concerned(after))), data))
            case _:
                assert_never(effect)
    if aggregate.ended(after) and not (before is not None and aggregate.ended(before)):
        timers.append(TimerChange(kind, id, Timer(What.FORGET), now + KEEP_ENDED_S))
    return Commit(
        writes=(Write(kind, id, revision, aggregate.body(after), aggregate.info(after), media, parts),),
        events=tuple(events),
        timers=tuple(timers),
        jobs=tuple(jobs.values()),
        subscriptions=_followers(aggregate, id, before, after),
        engagements=tuple(engagements),
        records=tuple(records),
    )


def _followers(aggregate: Aggregate[S], id: str, before: S | None, after: S) -> tuple[Subscription, ...]:
    stream = aggregate.own_stream(id)
    did, do = () if before is None else aggregate.followers(before), aggregate.followers(after)
    if did is do:
        return ()
    began = [Subscription(user, stream) for user in filterfalse(frozenset(did).__contains__, do)]
    return (*began, *(Subscription(user, stream, False) for user in filterfalse(frozenset(do).__contains__, did)))
