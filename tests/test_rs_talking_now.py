"""Who speaks at this moment, by the media server's events. Pure."""

from roomservice.talking_now import TalkingNow


def test_who_begins_talks_until_he_ends_or_is_gone() -> None:
    talking = TalkingNow()
    for event in [
        ("speaking.started", "hall", "ann"),
        ("speaking.started", "hall", "bob"),
        ("speaking.started", "attic", "cem"),
        ("speaking.started", "hall", "ann"),
        ("quality.changed", "hall", "ann"),
    ]:
        talking.take(*event)
    assert talking.of("hall") == ("ann", "bob")
    talking.take("speaking.stopped", "hall", "ann")
    talking.take("publishing.stopped", "attic", "cem")
    assert (talking.of("hall"), talking.of("attic")) == (("bob",), ())
    talking.take("participant.left", "hall", "bob")
    assert talking.of("hall") == ()


def test_it_forgets_what_it_may_have_missed() -> None:
    talking = TalkingNow()
    talking.take("speaking.started", "hall", "ann")
    talking.forget()
    assert talking.of("hall") == ()
    talking.take("speaking.stopped", "hall", "ann")
    assert talking.of("hall") == ()
