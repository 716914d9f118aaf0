"""When a publisher is told of his own microphone, and how seldom."""

from mediaserver.microphone import AGAIN_AFTER_S, STILL_TALKS_AFTER_S, Heard, Microphone

TALKS, TALKS_MUTED = Heard(True, False), Heard(True, True)
QUIET, QUIET_MUTED = Heard(False, False), Heard(False, True)


def test_who_begins_to_talk_while_muted_is_told_at_once_and_not_again_for_seconds() -> None:
    microphone = Microphone()
    assert microphone.update(0.0, QUIET_MUTED) == []
    assert microphone.update(1.0, TALKS_MUTED) == ["speaker.talks_muted"]
    told = []
    for tenth in range(11, 10 + round(10 * AGAIN_AFTER_S)):
        # He stops and begins again, as people do.
        told += microphone.update(tenth / 10, QUIET_MUTED if tenth % 9 == 0 else TALKS_MUTED)
    assert told == []
    assert microphone.update(1.0 + AGAIN_AFTER_S, TALKS_MUTED) == ["speaker.talks_muted"]


def test_who_is_muted_in_mid_sentence_may_finish_the_word() -> None:
    microphone = Microphone()
    microphone.update(0.0, TALKS)
    assert microphone.update(1.0, TALKS_MUTED) == []
    assert microphone.update(0.9 + STILL_TALKS_AFTER_S, TALKS_MUTED) == []
    assert microphone.update(1.0 + STILL_TALKS_AFTER_S, TALKS_MUTED) == ["speaker.talks_muted"]
    other = Microphone()
    other.update(0.0, TALKS)
    other.update(1.0, TALKS_MUTED)
    other.update(1.6, QUIET_MUTED)
    assert other.update(60.0, QUIET_MUTED) == []


def test_who_is_heard_is_not_told_that_he_talks() -> None:
    microphone = Microphone()
    assert [news for second in range(20) for news in microphone.update(float(second), TALKS)] == []


def test_silence_and_clipping_are_told_once_each_and_their_end_too() -> None:
    microphone = Microphone()
    silent, clipping = Heard(False, False, silent=True), Heard(True, False, clipping=True)
    assert microphone.update(0.0, silent) == ["audio.silent"]
    assert microphone.update(1.0, silent) == []
    assert microphone.update(2.0, clipping) == ["audio.heard", "audio.clipping"]
    assert microphone.update(3.0, clipping) == []
    assert microphone.update(4.0, QUIET) == ["audio.clean"]
    # Whom somebody mutes is not silent by his own fault.
    assert microphone.update(5.0, silent) == ["audio.silent"]
    assert microphone.update(6.0, Heard(False, True, silent=True)) == ["audio.heard"]
