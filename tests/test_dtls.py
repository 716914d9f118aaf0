"""The DTLS server against OpenSSL's own DTLS client, joined in memory.

The server's time is an argument and so fake. The client is OpenSSL with OpenSSL's timer, which reads the real clock:
where it is the client that must retransmit, all lossy associations wait for it together.
"""

import datetime
import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL, crypto

from mediaserver.dtls import (
    FIRST_TIMEOUT_S,
    GIVE_UP_S,
    MTU,
    REPEAT_INTERVAL_S,
    Certificate,
    Fingerprint,
    Handshake,
    Keys,
)

GCM_128, GCM_256, CM_SHA1 = b"SRTP_AEAD_AES_128_GCM", b"SRTP_AEAD_AES_256_GCM", b"SRTP_AES128_CM_SHA1_80"
PROFILES = {GCM_128: (0x0007, 56), GCM_256: (0x0008, 88), CM_SHA1: (0x0001, 60)}
CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION_DATA = 20, 21, 22, 23

WRONG_CERTIFICATE = "The peer's certificate does not match a fingerprint of its session description."

SERVER = Certificate.generate()


def records(datagram: bytes) -> Iterator[bytes]:
    while datagram:
        end = 13 + int.from_bytes(datagram[11:13], "big")
        yield datagram[:end]
        datagram = datagram[end:]


def record(kind: int, epoch: int, body: bytes, sequence: int = 0) -> bytes:
    header = bytes([kind]) + b"\xfe\xfd" + epoch.to_bytes(2, "big") + sequence.to_bytes(6, "big")
    return header + len(body).to_bytes(2, "big") + body


def epoch(record: bytes) -> int:
    return int.from_bytes(record[3:5], "big")


def sequence(record: bytes) -> int:
    return int.from_bytes(record[5:11], "big")


@dataclass
class Identity:
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    certificate: x509.Certificate

    @classmethod
    def generate(
        cls, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | None = None, ballast: int = 0, days: int = 30
    ) -> "Identity":
        """ballast: bytes of an extension that makes the certificate large; days: until it expires."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "client")])
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(now - datetime.timedelta(days=60))
            .not_valid_after(now + datetime.timedelta(days=days))
        )
        if ballast:
            extension = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), bytes(ballast))
            builder = builder.add_extension(extension, critical=False)
        return cls(key, builder.sign(key, hashes.SHA256()))

    def fingerprint(self, algorithm: str = "sha-256") -> Fingerprint:
        return Fingerprint.of(crypto.X509.from_cryptography(self.certificate), algorithm)


IDENTITY = Identity.generate()


class Client:
    """An OpenSSL DTLS client that sends one record per datagram, so that each can be lost alone."""

    def __init__(
        self,
        identity: Identity | None = IDENTITY,
        profiles: Iterable[bytes] = (CM_SHA1, GCM_256, GCM_128),
        ciphers: bytes | None = None,
        mtu: int = 1200,
    ) -> None:
        context = SSL.Context(SSL.DTLS_CLIENT_METHOD)
        context.set_options(SSL.OP_NO_QUERY_MTU)
        context.set_verify(SSL.VERIFY_PEER, lambda *_: True)
        if identity is not None:
            context.use_certificate(identity.certificate)
            context.use_privatekey(identity.key)
        if profiles:
            context.set_tlsext_use_srtp(b":".join(profiles))
        if ciphers is not None:
            context.set_cipher_list(ciphers)
        self.connection = SSL.Connection(context)
        self.connection.set_ciphertext_mtu(mtu)
        self.connection.set_connect_state()
        self.complete = False
        self.failed = False

    def start(self) -> list[bytes]:
        return self._run()

    def receive(self, datagram: bytes) -> list[bytes]:
        self.connection.bio_write(datagram)
        return self._run()

    def timeout(self) -> list[bytes]:
        """Retransmits if OpenSSL's timer has run out, by the real clock."""
        self.connection.DTLSv1_handle_timeout()
        return self.output()

    def _run(self) -> list[bytes]:
        if not self.complete:
            try:
                self.connection.do_handshake()
                self.complete = True
            except SSL.WantReadError:
                pass
            except SSL.Error:
                self.failed = True
        return self.output()

    def output(self) -> list[bytes]:
        try:
            return list(records(self.connection.bio_read(1 << 20)))
        except SSL.WantReadError:
            return []

    def keys(self) -> Keys:
        profile, size = PROFILES[self.connection.get_selected_srtp_profile()]
        return Keys(profile, self.connection.export_keying_material(b"EXTRACTOR-dtls_srtp", size))

    def send(self, data: bytes) -> list[bytes]:
        self.connection.send(data)
        return self.output()


Filter = Callable[[str, int], bool]


@dataclass
class Association:
    """A client and our server, joined by a path that loses what `lost` says: (direction, number in that direction)."""

    client: Client
    server: Handshake
    lost: Filter = lambda direction, number: False
    now: float = 1000.0
    sent: dict[str, list[bytes]] = field(default_factory=lambda: {"up": [], "down": []})

    def start(self) -> "Association":
        self.exchange(up=self.client.start())
        return self

    def exchange(self, up: Iterable[bytes] = (), down: Iterable[bytes] = ()) -> None:
        """Passes datagrams until both sides wait."""
        up, down = list(up), list(down)
        while up or down:
            if up:
                datagram = up.pop(0)
                if self._pass("up", datagram):
                    down += self.server.receive(self.now, datagram)
            else:
                datagram = down.pop(0)
                if self._pass("down", datagram):
                    up += self.client.receive(datagram)

    def server_timeout(self) -> None:
        assert self.server.deadline is not None
        self.now = self.server.deadline
        self.exchange(down=self.server.timeout(self.now))

    @property
    def complete(self) -> bool:
        return self.client.complete and self.server.keys is not None

    def _pass(self, direction: str, datagram: bytes) -> bool:
        number = len(self.sent[direction])
        self.sent[direction].append(datagram)
        return not self.lost(direction, number)


def associate(
    client: Client | None = None, expected: Iterable[Fingerprint] | None = None, lost: Filter = lambda *_: False
) -> Association:
    server = Handshake(SERVER, [IDENTITY.fingerprint()] if expected is None else list(expected))
    return Association(client or Client(), server, lost).start()


def alerts(association: Association) -> list[int]:
    """The descriptions of the alerts that the server sent in clear."""
    sent = itertools.chain.from_iterable(records(datagram) for datagram in association.sent["down"])
    return [record[14] for record in sent if record[0] == ALERT and epoch(record) == 0]


# The handshake


def test_handshake_completes_and_both_sides_export_the_same_keys() -> None:
    association = associate()
    assert association.complete
    assert association.server.failed is None
    assert association.server.keys == association.client.keys()
    assert association.server.deadline is None


def test_handshake_is_dtls_1_2_with_an_aead_suite() -> None:
    connection = associate().client.connection
    assert connection.get_protocol_version_name() == "DTLSv1.2"
    assert connection.get_cipher_name() == "ECDHE-ECDSA-AES128-GCM-SHA256"


@pytest.mark.parametrize("profile", PROFILES)
def test_each_srtp_profile_is_agreed_when_it_is_the_only_one(profile: bytes) -> None:
    association = associate(Client(profiles=[profile]))
    number, size = PROFILES[profile]
    keys = association.server.keys
    assert keys is not None
    assert keys.profile == number
    assert len(keys.material) == size
    assert keys == association.client.keys()


@pytest.mark.parametrize("offered", list(itertools.permutations(PROFILES)))
def test_our_order_of_srtp_profiles_counts_not_the_clients(offered: tuple[bytes, ...]) -> None:
    keys = associate(Client(profiles=offered)).server.keys
    assert keys is not None
    assert keys.profile == 0x0007


def test_gcm_256_is_preferred_to_counter_mode() -> None:
    keys = associate(Client(profiles=[CM_SHA1, GCM_256])).server.keys
    assert keys is not None
    assert keys.profile == 0x0008


@pytest.mark.parametrize("profiles", [(), (b"SRTP_AES128_CM_SHA1_32",)])
def test_without_a_common_srtp_profile_the_handshake_fails_and_the_client_is_told(profiles: tuple[bytes, ...]) -> None:
    association = associate(Client(profiles=profiles))
    assert association.server.keys is None
    assert association.server.failed == "The peer and the server have no SRTP protection profile in common."
    with pytest.raises(SSL.ZeroReturnError):
        association.client.connection.recv(1)
    assert association.server.close() == b""


def test_certificate_is_the_one_whose_fingerprint_is_announced() -> None:
    certificate = associate().client.connection.get_peer_certificate()
    assert certificate is not None
    assert Fingerprint.of(certificate, "sha-256") == SERVER.fingerprint


def test_each_generated_certificate_is_another() -> None:
    assert Certificate.generate().fingerprint != SERVER.fingerprint


def test_associations_of_one_certificate_have_keys_of_their_own() -> None:
    first, second = associate(), associate()
    assert first.complete
    assert second.complete
    assert first.server.keys != second.server.keys


def test_keys_are_not_in_the_repr() -> None:
    keys = associate().server.keys
    assert keys is not None
    assert keys.material.hex() not in repr(keys)
    assert repr(keys.material) not in repr(keys)


# Who the peer is


@pytest.mark.parametrize("algorithm", ["sha-256", "sha-384", "sha-512"])
def test_each_fingerprint_algorithm_is_checked(algorithm: str) -> None:
    assert associate(expected=[IDENTITY.fingerprint(algorithm)]).complete
    stranger = Identity.generate().fingerprint(algorithm)
    assert associate(expected=[stranger]).server.failed is not None


def test_a_wrong_fingerprint_fails_with_an_alert_before_any_keys() -> None:
    association = associate(expected=[Identity.generate().fingerprint()])
    assert association.server.keys is None
    assert association.server.failed == WRONG_CERTIFICATE
    assert len(alerts(association)) == 1
    assert not association.client.complete
    assert association.server.deadline is None
    assert association.server.close() == b""


def test_one_of_several_fingerprints_of_an_algorithm_is_enough() -> None:
    assert associate(expected=[Identity.generate().fingerprint(), IDENTITY.fingerprint()]).complete


def test_the_strongest_algorithm_decides() -> None:
    stranger = Identity.generate()
    assert associate(expected=[stranger.fingerprint("sha-256"), IDENTITY.fingerprint("sha-512")]).complete
    assert not associate(expected=[IDENTITY.fingerprint("sha-256"), stranger.fingerprint("sha-512")]).complete


def test_a_handshake_without_expected_fingerprints_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a fingerprint"):
        Handshake(SERVER, [])


def test_a_client_without_a_certificate_fails() -> None:
    association = associate(Client(identity=None))
    assert association.server.keys is None
    assert association.server.failed == "The DTLS handshake failed: peer did not return a certificate."
    assert len(alerts(association)) == 1


def test_a_client_without_a_common_cipher_suite_fails() -> None:
    association = associate(Client(ciphers=b"ECDHE-RSA-AES128-GCM-SHA256"))
    assert association.server.failed == "The DTLS handshake failed: no shared cipher."
    assert len(alerts(association)) == 1


@pytest.mark.parametrize(
    "identity",
    [Identity.generate(days=-1), Identity.generate(key=rsa.generate_private_key(65537, 2048))],
    ids=["expired", "rsa"],
)
def test_only_the_fingerprint_of_a_certificate_counts(identity: Identity) -> None:
    assert associate(Client(identity), expected=[identity.fingerprint()]).complete


@pytest.mark.parametrize("mtu", [256, 1200])
def test_a_large_client_certificate_arrives_in_fragments(mtu: int) -> None:
    identity = Identity.generate(ballast=6000)
    association = associate(Client(identity, mtu=mtu), expected=[identity.fingerprint()])
    assert association.complete
    assert len(association.sent["up"]) > 6000 // mtu
    assert association.server.keys == association.client.keys()


@pytest.mark.parametrize(
    ("algorithm", "value"),
    [
        ("sha-1", ":".join(["AB"] * 20)),
        ("SHA-256", ":".join(["AB"] * 32)),
        ("sha-256", ":".join(["ab"] * 32)),
        ("sha-256", ":".join(["AB"] * 31)),
        ("sha-384", ":".join(["AB"] * 32)),
        ("sha-256", "AB" * 32),
        ("sha-256", ":".join(["AB"] * 32) + "\n"),
        ("sha-256", ""),
    ],
)
def test_a_malformed_fingerprint_is_refused(algorithm: str, value: str) -> None:
    with pytest.raises(ValueError, match="fingerprint"):
        Fingerprint(algorithm, value)


# Datagrams


def test_every_datagram_fits_the_mtu_and_holds_whole_records() -> None:
    association = associate()
    assert association.sent["down"]
    for datagram in association.sent["down"]:
        assert len(datagram) <= MTU
        assert b"".join(records(datagram)) == datagram
        assert all(record[1:3] == b"\xfe\xfd" for record in records(datagram))


def test_a_flight_that_is_larger_than_the_mtu_is_sent_in_several_datagrams() -> None:
    identity = Identity.generate(ballast=3000)
    key = identity.key
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    server = Handshake(Certificate(key, identity.certificate), [IDENTITY.fingerprint()])
    association = Association(Client(), server).start()
    assert association.complete
    assert len(association.sent["down"]) >= 4
    assert max(map(len, association.sent["down"])) <= MTU


def test_a_flight_of_the_client_in_one_datagram_is_taken() -> None:
    client, server = Client(), Handshake(SERVER, [IDENTITY.fingerprint()])
    [flight] = server.receive(0.0, b"".join(client.start()))
    [finished] = server.receive(0.1, b"".join(client.receive(flight)))
    assert client.receive(finished) == []
    assert client.complete
    assert server.keys == client.keys()


def test_datagrams_that_arrive_twice_do_no_harm() -> None:
    client, server = Client(), Handshake(SERVER, [IDENTITY.fingerprint()])
    up = client.start()
    while up:
        hello_or_record = up.pop(0)
        down = server.receive(0.0, hello_or_record) + server.receive(1.0, hello_or_record)
        up += [reply for datagram in down for reply in client.receive(datagram) + client.receive(datagram)]
    assert client.complete
    assert server.keys == client.keys()


def test_our_flight_may_arrive_in_reverse_order() -> None:
    identity = Identity.generate(ballast=3000)
    key = identity.key
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    client, server = Client(), Handshake(Certificate(key, identity.certificate), [IDENTITY.fingerprint()])
    flight = server.receive(0.0, client.start()[0])
    assert len(flight) >= 3
    up = [reply for datagram in reversed(flight) for reply in client.receive(datagram)]
    for datagram in [answer for record in up for answer in server.receive(0.1, record)]:
        client.receive(datagram)
    assert client.complete
    assert server.keys == client.keys()


# Loss


def test_server_repeats_its_flight_after_400_ms_and_doubles_until_it_gives_up_after_60_s() -> None:
    association = associate(lost=lambda direction, _: direction == "down")
    server, start = association.server, association.now
    times = []
    while server.failed is None:
        association.server_timeout()
        times.append(round(association.now - start, 3))
    assert times == [0.4, 1.2, 2.8, 6.0, 12.4, 25.2, 50.8, 60.0]
    assert (FIRST_TIMEOUT_S, GIVE_UP_S) == (0.4, 60.0)
    assert server.failed == "The DTLS handshake did not complete within 60 s."
    assert server.deadline is None
    assert len(association.sent["down"]) == 1 + 7
    assert server.receive(association.now, association.sent["up"][0]) == []


def test_timeout_before_the_deadline_does_nothing() -> None:
    server = associate(lost=lambda direction, _: direction == "down").server
    deadline = server.deadline
    assert deadline is not None
    assert server.timeout(deadline - 0.001) == []
    assert server.deadline == deadline


def test_a_server_that_has_heard_nothing_has_no_deadline() -> None:
    server = Handshake(SERVER, [IDENTITY.fingerprint()])
    assert server.deadline is None
    assert server.timeout(1e9) == []
    assert server.failed is None


def test_a_server_that_has_heard_only_half_a_client_hello_gives_up_after_60_s() -> None:
    server = Handshake(SERVER, [IDENTITY.fingerprint()])
    [hello] = Client().start()
    header, body = hello[13:25], hello[25:]
    fragment = header[:9] + (100).to_bytes(3, "big") + body[:100]
    assert server.receive(5.0, record(HANDSHAKE, 0, fragment)) == []
    assert server.deadline == 65.0
    assert server.timeout(65.0) == []
    assert server.failed == "The DTLS handshake did not complete within 60 s."


def test_retransmissions_are_the_same_messages_in_records_of_new_sequence_numbers() -> None:
    association = associate(lost=lambda direction, number: direction == "down" and number < 3)
    for _ in range(3):
        association.server_timeout()
    assert association.complete
    flights = [list(records(datagram)) for datagram in association.sent["down"]]
    bodies = [[record[13:] for record in flight] for flight in flights[:4]]
    assert bodies[1:] == bodies[:1] * 3
    numbers = [sequence(record) for flight in flights for record in flight if epoch(record) == 0]
    assert numbers == list(range(len(numbers)))
    assert [record[0] for record in flights[-1]] == [CHANGE_CIPHER_SPEC, HANDSHAKE]


def test_a_repeated_client_hello_is_answered_at_once_but_not_more_often_than_every_25_ms() -> None:
    association = associate(lost=lambda direction, _: direction == "down")
    assert REPEAT_INTERVAL_S == 0.025
    [hello] = association.sent["up"]
    server, now = association.server, association.now
    assert server.receive(now + 0.9 * REPEAT_INTERVAL_S, hello) == []
    now += 1.1 * REPEAT_INTERVAL_S
    [flight] = server.receive(now, hello)
    assert server.deadline == now + FIRST_TIMEOUT_S
    assert server.receive(now + 0.9 * REPEAT_INTERVAL_S, hello) == []
    association.lost = lambda *_: False
    association.exchange(up=association.client.receive(flight))
    assert association.complete


def test_handshake_survives_the_loss_of_any_one_and_any_two_datagrams() -> None:
    # OpenSSL's client repeats its flight after a real second, then after two more: all associations wait together.
    clean = associate()
    positions = [(direction, number) for direction in ("up", "down") for number in range(len(clean.sent[direction]))]
    assert len(positions) == 8  # ClientHello, our flight, five records of the client, our last flight
    cases = [frozenset(case) for size in (1, 2) for case in itertools.combinations(positions, size)]
    associations = {case: associate(lost=lambda *position, case=case: position in case) for case in cases}
    for _ in range(3):
        waiting = [association for association in associations.values() if not association.complete]
        for association in waiting:
            while association.server.deadline is not None and association.now < 1050:
                association.server_timeout()
        waiting = [association for association in waiting if not association.complete]
        timers = [association.client.connection.DTLSv1_get_timeout() for association in waiting]
        time.sleep(max((timer for timer in timers if timer is not None), default=0.0) + 0.01 * bool(waiting))
        for association in waiting:
            association.exchange(up=association.client.timeout())
    assert [sorted(case) for case, association in associations.items() if not association.complete] == []
    for association in associations.values():
        assert association.server.keys == association.client.keys()
        assert association.server.failed is None


def test_the_loss_of_our_flight_is_repaired_by_our_timer_alone() -> None:
    association = associate(lost=lambda *position: position == ("down", 0))
    assert not association.complete
    association.server_timeout()
    assert association.complete


# After the handshake


def test_close_notify_is_understood_by_the_client() -> None:
    association = associate()
    farewell = association.server.close()
    assert 0 < len(farewell) <= MTU
    association.client.connection.bio_write(farewell)
    with pytest.raises(SSL.ZeroReturnError):
        association.client.connection.recv(1)


def test_close_notify_can_be_made_first_and_sent_long_after() -> None:
    association = associate()
    farewell = association.server.close()
    association.client.connection.bio_write(association.client.send(b"data")[0])  # not for it: ignored
    association.client.connection.bio_write(farewell)
    with pytest.raises(SSL.ZeroReturnError):
        association.client.connection.recv(1)


def test_nothing_is_answered_after_close() -> None:
    association = associate()
    association.server.close()
    assert association.server.close() == b""
    assert association.server.receive(association.now, association.sent["up"][0]) == []
    assert association.server.timeout(association.now + 1000) == []
    assert association.server.deadline is None
    assert association.server.keys is not None


@pytest.mark.parametrize("lost", [{("up", 0)}, {("down", 0)}, {("up", 5)}])
def test_closing_an_unfinished_handshake_gives_no_datagram(lost: set[tuple[str, int]]) -> None:
    association = associate(lost=lambda *position: position in lost)
    assert association.server.keys is None
    assert association.server.close() == b""
    assert association.server.failed is None


def test_the_peers_close_notify_ends_the_association() -> None:
    association = associate()
    association.client.connection.shutdown()
    for datagram in association.client.output():
        association.server.receive(association.now, datagram)
    assert association.server.failed == "The peer closed the DTLS association."
    assert association.server.keys is not None


def test_data_of_a_data_channel_is_ignored() -> None:
    association = associate()
    for size in (1, 1000):
        for datagram in association.client.send(bytes(size)):
            assert datagram[0] == APPLICATION_DATA
            assert association.server.receive(association.now, datagram) == []
    assert association.server.failed is None


def test_renegotiation_is_refused() -> None:
    association = associate()
    client = association.client
    client.connection.renegotiate()
    client.complete = False
    association.exchange(up=client.start())
    assert client.failed
    assert association.server.failed == "The DTLS association failed: tls alert handshake failure."  # the client's


# Malformed input


def test_a_flood_of_client_hellos_is_answered_with_one_flight() -> None:
    server = Handshake(SERVER, [IDENTITY.fingerprint()])
    hellos = [Client().start()[0] for _ in range(200)]
    answers = [datagram for hello in hellos for datagram in server.receive(0.0, hello)]
    assert len(answers) == 1
    assert server.failed is None


def test_an_empty_and_an_oversized_datagram_are_ignored() -> None:
    server = Handshake(SERVER, [IDENTITY.fingerprint()])
    assert server.receive(0.0, b"") == []
    assert server.receive(0.0, Client().start()[0] + bytes(1 << 16)) == []
    assert server.deadline is None


@pytest.fixture(scope="module")
def captured() -> list[bytes]:
    """The client's datagrams of a whole association, its last flight and its farewell included."""
    association = associate()
    data = association.client.send(b"data")
    association.client.connection.shutdown()
    return [*association.sent["up"], *data, *association.client.output()]


garbage = st.one_of(
    st.binary(max_size=200),
    st.builds(record, st.integers(0, 255), st.integers(0, 3), st.binary(max_size=100), st.integers(0, 2**48 - 1)),
    st.builds(record, st.integers(20, 23), st.integers(0, 1), st.binary(max_size=100), st.integers(0, 20)),
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(garbage, max_size=8), st.integers(0, 8))
def test_garbage_at_any_moment_neither_raises_nor_makes_keys(noise: list[bytes], moment: int) -> None:
    client, server = Client(), Handshake(SERVER, [IDENTITY.fingerprint()])
    up, step = client.start(), 0
    while up and server.failed is None:
        if step == moment:
            for datagram in noise:
                server.receive(0.0, datagram)
        answer = server.receive(0.0, up.pop(0))
        up += [reply for datagram in answer for reply in client.receive(datagram)]
        step += 1
    # A forged record may take a sequence number of the client's away; then its timer and ours go on.
    assert server.keys is not None or server.failed is not None or server.deadline is not None
    assert server.keys is None or server.keys == client.keys()
    server.close()


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.data())
def test_mutated_datagrams_of_a_real_client_never_raise(captured: list[bytes], data: st.DataObject) -> None:
    server = Handshake(SERVER, [IDENTITY.fingerprint()])
    for datagram in data.draw(st.lists(st.sampled_from(captured), max_size=12)):
        mutant = bytearray(datagram)
        for _ in range(data.draw(st.integers(0, 3))):
            mutant[data.draw(st.integers(0, len(mutant) - 1))] = data.draw(st.integers(0, 255))
        if data.draw(st.booleans()):
            del mutant[data.draw(st.integers(0, len(mutant))) :]
        answer = server.receive(0.0, bytes(mutant))
        assert all(len(reply) <= MTU for reply in answer)
    assert server.keys is None  # the Finished of another association cannot complete this one
    server.close()


@pytest.mark.parametrize(
    "forged",
    [
        record(19, 0, b"junk"),
        record(24, 0, b"junk"),
        record(63, 1, b"junk"),
        record(CHANGE_CIPHER_SPEC, 0, b"\2"),
        record(CHANGE_CIPHER_SPEC, 0, b"\1\1"),
        record(APPLICATION_DATA, 0, b"junk"),
        record(APPLICATION_DATA, 1, b"junk"),
        record(HANDSHAKE, 1, bytes(40)),
        record(HANDSHAKE, 0, b"cut off")[:-1],
        record(ALERT, 1, b"\2\x28"),
        record(ALERT, 0, b"\2\x28")[:12],
        record(ALERT, 0, b"\1\x5a") + b"junk",
    ],
    ids=bytes.hex,
)
def test_a_forged_record_that_can_be_told_apart_does_not_disturb_the_handshake(forged: bytes) -> None:
    client, server = Client(), Handshake(SERVER, [IDENTITY.fingerprint()])
    up = client.start()
    while up:
        assert server.receive(0.0, forged) == []
        up += [reply for datagram in server.receive(0.0, up.pop(0)) for reply in client.receive(datagram)]
    assert server.receive(0.0, forged) == []
    assert server.failed is None
    assert server.keys == client.keys()
