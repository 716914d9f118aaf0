"""What stands between a WHEP client, who offers, and a server that wants to offer itself. Pure (RFC 8866, RFC 9429).

Janus' VideoRoom sends its subscribers an offer. Two descriptions are made of the client's offer and the server's: the
answer that the server waits for, and the answer that the client waits for. ICE credentials and fingerprints go through
as they are, so that client and server speak DTLS with each other and nobody stands in between.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

LEVEL_URI = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"


@dataclass(frozen=True)
class Section:
    """Of audio. formats: payload types; level: the extension id of RFC 6464, None without."""

    text: str
    mid: str
    formats: tuple[str, ...]
    level: str | None


@dataclass(frozen=True)
class Description:
    session: str
    sections: tuple[Section, ...]

    def value(self, attribute: str) -> str:
        """Of the first section, else of the session. ValueError without."""
        first = self.sections[0].text if self.sections else ""
        found = _find(first, attribute) or _find(self.session, attribute)
        if found is None:
            raise ValueError(f"The description has no a={attribute}.")
        return found


def parse(sdp: str) -> Description:
    """ValueError when a section has no mid or is not audio."""
    session, *parts = re.split(r"^(?=m=)", sdp.replace("\r\n", "\n"), flags=re.MULTILINE)
    sections = []
    for part in parts:
        media = re.match(r"m=audio \d+ \S+ ([\d ]+)", part)
        mid = _find(part, "mid")
        if media is None or mid is None:
            raise ValueError("A section is not of audio, or has no mid.")
        level = re.search(rf"^a=extmap:(\d+)\S* {re.escape(LEVEL_URI)}", part, re.MULTILINE)
        sections.append(Section(part, mid, tuple(media[1].split()), level[1] if level else None))
    return Description(session, tuple(sections))


def without_trickle(sdp: str) -> str:
    """Nothing will follow the offer: a server that waits for more candidates would wait for ever."""
    return re.sub(r"^a=ice-options:trickle\r?\n", "", sdp, flags=re.MULTILINE)


def answer_to_server(server: Description, client: Description) -> str:
    """The server offers to send; the client has said who he is in an offer of his own."""
    mids = [section.mid for section in server.sections]
    lines = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0", f"a=group:BUNDLE {' '.join(mids)}"]
    for number, section in enumerate(server.sections):
        taken = number < len(client.sections)
        opus = _opus(section)
        lines += [
            f"m=audio {9 if taken else 0} UDP/TLS/RTP/SAVPF {opus}",
            "c=IN IP4 0.0.0.0",
            f"a=mid:{section.mid}",
            f"a=ice-ufrag:{client.value('ice-ufrag')}",
            f"a=ice-pwd:{client.value('ice-pwd')}",
            f"a=fingerprint:{client.value('fingerprint')}",
            "a=setup:active",
            f"a={'recvonly' if taken else 'inactive'}",
            "a=rtcp-mux",
            f"a=rtpmap:{opus} opus/48000/2",
            *([f"a=extmap:{section.level} {LEVEL_URI}"] if section.level else []),
        ]
    return "\r\n".join(lines) + "\r\n"


def answer_to_client(server: Description, client: Description) -> str:
    """The server's offer, as an answer to the client's: his mids, and the role that his leaves. Sections that the
    server has nothing for are rejected."""
    taken = min(len(server.sections), len(client.sections))
    mids = [section.mid for section in client.sections[:taken]]
    session = re.sub(r"^a=group:BUNDLE.*$", f"a=group:BUNDLE {' '.join(mids)}", server.session, flags=re.MULTILINE)
    parts = [session]
    for section, wanted in zip(server.sections, client.sections, strict=False):
        text = re.sub(r"^a=setup:.*$", "a=setup:passive", section.text, flags=re.MULTILINE)
        parts.append(re.sub(r"^a=mid:.*$", f"a=mid:{wanted.mid}", text, flags=re.MULTILINE))
    parts += [
        f"m=audio 0 UDP/TLS/RTP/SAVPF {wanted.formats[0]}\nc=IN IP4 0.0.0.0\na=inactive\na=mid:{wanted.mid}\n"
        for wanted in client.sections[taken:]
    ]
    return "".join(parts).replace("\n", "\r\n")


def _opus(section: Section) -> str:
    found = re.search(r"^a=rtpmap:(\d+) opus/48000", section.text, re.MULTILINE | re.IGNORECASE)
    if found is None:
        raise ValueError("A section has no Opus.")
    return found[1]


def _find(text: str, attribute: str) -> str | None:
    found = re.search(rf"^a={attribute}:(.+?)\s*$", text, re.MULTILINE)
    return found[1] if found else None
