"""libsrtp as oracle: each opens what the other seals, and both refuse the same packets."""

import random
import struct
from dataclasses import dataclass

import pytest
from pylibsrtp import Error, Policy, Session

from mediaserver._native import SrtpOpener, SrtpSealer

SSRC = 0x1234ABCD
WINDOW = 128


@dataclass(frozen=True)
class Keys:
    profile: int
    key: bytes
    salt: bytes

    def libsrtp(self, ssrc_type: int) -> Session:
        policy = Policy(key=self.key + self.salt, ssrc_type=ssrc_type, srtp_profile=self.profile)
        policy.window_size = WINDOW
        policy.allow_repeat_tx = True
        return Session(policy)


def keys_of(profile: int, seed: int) -> Keys:
    key_size, salt_size = {
        Policy.SRTP_PROFILE_AES128_CM_SHA1_80: (16, 14),
        Policy.SRTP_PROFILE_AEAD_AES_128_GCM: (16, 12),
        Policy.SRTP_PROFILE_AEAD_AES_256_GCM: (32, 12),
    }[profile]
    randomness = random.Random(seed)
    return Keys(profile, randomness.randbytes(key_size), randomness.randbytes(salt_size))


@pytest.fixture(
    params=[
        pytest.param(Policy.SRTP_PROFILE_AES128_CM_SHA1_80, id="AES128_CM_SHA1_80"),
        pytest.param(Policy.SRTP_PROFILE_AEAD_AES_128_GCM, id="AEAD_AES_128_GCM"),
        pytest.param(Policy.SRTP_PROFILE_AEAD_AES_256_GCM, id="AEAD_AES_256_GCM"),
    ]
)
def keys(request: pytest.FixtureRequest) -> Keys:
    return keys_of(request.param, seed=request.param)


def rtp(index: int, *, ssrc: int = SSRC, size: int | None = None) -> bytes:
    """An RTP packet for a 48-bit index: every third with CSRCs, every second with a header extension."""
    randomness = random.Random(index)
    csrcs = randomness.randbytes(4 * (2 if index % 3 == 0 else 0))
    extension = b"\xbe\xde\x00\x01\x10" + randomness.randbytes(1) + bytes(2) if index % 2 == 0 else b""
    first = 0x80 | (0x10 if extension else 0) | len(csrcs) // 4
    header = struct.pack("!BBHII", first, 111, index & 0xFFFF, index * 960 & 0xFFFFFFFF, ssrc)
    return header + csrcs + extension + randomness.randbytes(randomness.randrange(200) if size is None else size)


def rtcp(number: int, *, ssrc: int = SSRC) -> bytes:
    """A sender report and SDES; `number` makes each another."""
    report = struct.pack("!BBHIQIII", 0x80, 200, 6, ssrc, number << 32, number * 960 & 0xFFFFFFFF, number, number * 100)
    return report + struct.pack("!BBHIBB6s", 0x81, 202, 3, ssrc, 1, 4, b"name")


def seal(sealer: SrtpSealer, index: int) -> bytes:
    return sealer.rtp(rtp(index), index >> 16)


def opens(session: Session, packet: bytes, *, control: bool = False) -> bytes | None:
    try:
        return session.unprotect_rtcp(packet) if control else session.unprotect(packet)
    except Error:
        return None


def test_both_seal_rtp_to_the_same_bytes_over_sequence_wraps(keys: Keys) -> None:
    sealer = SrtpSealer(keys.profile, keys.key, keys.salt)
    oracle = keys.libsrtp(Policy.SSRC_ANY_OUTBOUND)
    for index in [0, 1, 2, *range(20_000, 65_000, 15_000), *range(65_500, 65_600), *range(80_000, 200_000, 9_999)]:
        assert seal(sealer, index) == oracle.protect(rtp(index))


def test_libsrtp_opens_what_the_plane_seals(keys: Keys) -> None:
    sealer = SrtpSealer(keys.profile, keys.key, keys.salt)
    oracle = keys.libsrtp(Policy.SSRC_ANY_INBOUND)
    for index in [*range(30_000, 65_000, 5_000), *range(65_400, 65_700), *range(70_000, 200_000, 9_999)]:
        assert oracle.unprotect(seal(sealer, index)) == rtp(index)


def test_the_plane_opens_what_libsrtp_seals(keys: Keys) -> None:
    opener = SrtpOpener(keys.profile, keys.key, keys.salt)
    oracle = keys.libsrtp(Policy.SSRC_ANY_OUTBOUND)
    for index in [*range(30_000, 65_000, 5_000), *range(65_400, 65_700), *range(70_000, 200_000, 9_999)]:
        assert opener.rtp(oracle.protect(rtp(index))) == rtp(index)


def test_payloads_of_every_size_pass_both_ways(keys: Keys) -> None:
    sealer, opener = SrtpSealer(keys.profile, keys.key, keys.salt), SrtpOpener(keys.profile, keys.key, keys.salt)
    inbound, outbound = keys.libsrtp(Policy.SSRC_ANY_INBOUND), keys.libsrtp(Policy.SSRC_ANY_OUTBOUND)
    for size in range(300):
        packet = rtp(size, size=size)
        assert inbound.unprotect(sealer.rtp(packet)) == packet
        assert opener.rtp(outbound.protect(packet)) == packet


def test_packets_reordered_over_the_wrap_open_with_the_right_roll_over_counter(keys: Keys) -> None:
    indexes = list(range(65_490, 65_580))
    random.Random(1).shuffle(indexes)
    sealer, opener = SrtpSealer(keys.profile, keys.key, keys.salt), SrtpOpener(keys.profile, keys.key, keys.salt)
    inbound, outbound = keys.libsrtp(Policy.SSRC_ANY_INBOUND), keys.libsrtp(Policy.SSRC_ANY_OUTBOUND)
    sealed = {index: outbound.protect(rtp(index)) for index in [32_767, 65_489, *sorted(indexes)]}
    for index in [32_767, 65_489, *indexes]:
        assert inbound.unprotect(seal(sealer, index)) == rtp(index)
        assert opener.rtp(sealed[index]) == rtp(index)


def test_a_replayed_packet_is_refused_by_both(keys: Keys) -> None:
    sealer, opener = SrtpSealer(keys.profile, keys.key, keys.salt), SrtpOpener(keys.profile, keys.key, keys.salt)
    oracle = keys.libsrtp(Policy.SSRC_ANY_INBOUND)
    packets = [seal(sealer, index) for index in range(10)]
    for packet in packets:
        assert opener.rtp(packet) == oracle.unprotect(packet)
    for packet in packets:
        assert opener.rtp(packet) is None
        assert opens(oracle, packet) is None


def test_a_late_packet_opens_up_to_the_window_and_no_later(keys: Keys) -> None:
    for late, accepted in [(1, True), (WINDOW - 1, True), (WINDOW, False), (WINDOW + 1, False), (5_000, False)]:
        sealer, opener = SrtpSealer(keys.profile, keys.key, keys.salt), SrtpOpener(keys.profile, keys.key, keys.salt)
        oracle = keys.libsrtp(Policy.SSRC_ANY_INBOUND)
        for index in (20_000, 20_000 - late):
            packet = seal(sealer, index)
            expected = rtp(index) if index == 20_000 or accepted else None
            assert opener.rtp(packet) == expected
            assert opens(oracle, packet) == expected


@pytest.mark.parametrize("seed", range(5))
def test_both_decide_alike_on_a_network_that_reorders_repeats_and_damages(keys: Keys, seed: int) -> None:
    randomness = random.Random(seed)
    sealer, opener = SrtpSealer(keys.profile, keys.key, keys.salt), SrtpOpener(keys.profile, keys.key, keys.salt)
    oracle = keys.libsrtp(Policy.SSRC_ANY_INBOUND)
    index, accepted, refused = 20_000, 0, 0
    for _ in range(4_000):
        index += randomness.choice([1, 1, 1, 2, 5, 40])
        packet = seal(sealer, max(0, index - randomness.choice([0, 0, 0, 1, 3, 60, 127, 128, 200, 3_000])))
        if randomness.random() < 0.1:
            at = randomness.randrange(len(packet))
            packet = packet[:at] + bytes([packet[at] ^ 1 << randomness.randrange(8)]) + packet[at + 1 :]
        plain = opener.rtp(packet)
        assert plain == opens(oracle, packet)
        accepted, refused = accepted + (plain is not None), refused + (plain is None)
    assert accepted > 1_000
    assert refused > 500


def test_rtcp_passes_both_ways(keys: Keys) -> None:
    sealer, opener = SrtpSealer(keys.profile, keys.key, keys.salt), SrtpOpener(keys.profile, keys.key, keys.salt)
    inbound, outbound = keys.libsrtp(Policy.SSRC_ANY_INBOUND), keys.libsrtp(Policy.SSRC_ANY_OUTBOUND)
    for number in range(500):
        assert inbound.unprotect_rtcp(sealer.rtcp(rtcp(number))) == rtcp(number)
        assert opener.rtcp(outbound.protect_rtcp(rtcp(number))) == rtcp(number)


def test_late_and_replayed_rtcp_is_decided_alike(keys: Keys) -> None:
    randomness = random.Random(2)
    sealer, opener = SrtpSealer(keys.profile, keys.key, keys.salt), SrtpOpener(keys.profile, keys.key, keys.salt)
    oracle = keys.libsrtp(Policy.SSRC_ANY_INBOUND)
    sealed = [sealer.rtcp(rtcp(number)) for number in range(1_000)]
    refused = 0
    for newest in range(1_000):
        number = max(0, newest - randomness.choice([0, 0, 1, 5, 127, 128, 300]))
        plain = opener.rtcp(sealed[number])
        assert plain == opens(oracle, sealed[number], control=True)
        refused += plain is None
    assert refused > 200


def test_each_ssrc_has_its_own_roll_over_counter(keys: Keys) -> None:
    sealer, opener = SrtpSealer(keys.profile, keys.key, keys.salt), SrtpOpener(keys.profile, keys.key, keys.salt)
    oracle = keys.libsrtp(Policy.SSRC_ANY_INBOUND)
    for step in range(12):
        for ssrc in range(1, 9):
            index = 10_000 * ssrc % 30_000 + step * 20_000
            packet = sealer.rtp(rtp(index, ssrc=ssrc), index >> 16)
            assert opener.rtp(packet) == rtp(index, ssrc=ssrc)
            assert oracle.unprotect(packet) == rtp(index, ssrc=ssrc)


@pytest.mark.parametrize("cls", [SrtpSealer, SrtpOpener])
def test_wrong_sizes_and_unknown_profiles_are_value_errors(
    cls: type[SrtpSealer] | type[SrtpOpener], keys: Keys
) -> None:
    with pytest.raises(ValueError, match="key"):
        cls(keys.profile, keys.key[:-1], keys.salt)
    with pytest.raises(ValueError, match="salt"):
        cls(keys.profile, keys.key, keys.salt + b"x")
    with pytest.raises(ValueError, match="profile"):
        cls(Policy.SRTP_PROFILE_AES128_CM_SHA1_32, keys.key, keys.salt)
