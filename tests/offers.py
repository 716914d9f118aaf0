"""Offers as a browser writes them, reduced to what matters, and the DTLS identity they vouch for."""

from mediaserver.dtls import Fingerprint

UFRAG, PWD = "EsAw", "P2uYro0UCOQ4zxjKXaWCBui1"
ANY_FINGERPRINT = Fingerprint("sha-256", ":".join(["AB"] * 32))


def offer(
    direction: str = "sendonly",
    sections: int = 1,
    fingerprint: Fingerprint = ANY_FINGERPRINT,
    ufrag: str = UFRAG,
    pwd: str = PWD,
) -> str:
    """`sections` audio m-lines of this direction in one BUNDLE group."""
    mids = [str(place) for place in range(sections)]
    lines = [
        "v=0",
        "o=- 4611731400430051336 2 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        f"a=group:BUNDLE {' '.join(mids)}",
        "a=msid-semantic: WMS",
    ]
    for mid in mids:
        lines += [
            "m=audio 9 UDP/TLS/RTP/SAVPF 111",
            "c=IN IP4 0.0.0.0",
            f"a=ice-ufrag:{ufrag}",
            f"a=ice-pwd:{pwd}",
            "a=ice-options:trickle",
            f"a=fingerprint:{fingerprint.algorithm} {fingerprint.value}",
            "a=setup:actpass",
            f"a=mid:{mid}",
            "a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level",
            "a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid",
            f"a={direction}",
            "a=rtcp-mux",
            "a=rtpmap:111 opus/48000/2",
            "a=fmtp:111 minptime=10;useinbandfec=1",
        ]
    return "\r\n".join(lines) + "\r\n"


def fragment(ufrag: str = UFRAG, pwd: str = PWD) -> str:
    """A trickle-ice-sdpfrag with one candidate (RFC 8840 section 9)."""
    lines = [
        "a=group:BUNDLE 0",
        "m=audio 9 UDP/TLS/RTP/SAVPF 111",
        "a=mid:0",
        f"a=ice-ufrag:{ufrag}",
        f"a=ice-pwd:{pwd}",
        "a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host",
    ]
    return "\r\n".join(lines) + "\r\n"
