"""A load of real WebRTC peers against any WHIP and WHEP server, and what it did to them: docs/benchmarks.md.

Here are HTTP, SDP, DTLS, the schedule and the report; sockets, ICE, SRTP, RTP and the checks of what is received are
native/load/.
"""
