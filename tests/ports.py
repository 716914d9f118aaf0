"""Ports for programs that must be told one, and for those that are killed and come back."""

import random
import socket
from contextlib import suppress

# Linux gives the ports from 32768 on to whoever asks for any, and so might give one of them away again before the
# program has it, or while it is down. What is below has to be asked for by its number.
_OURS = range(12_000, 32_000)
_random = random.SystemRandom()  # of several processes that test, each chooses others


def free_port() -> int:
    """Of TCP and of UDP, on 127.0.0.1."""
    while True:
        port = _random.choice(_OURS)
        with suppress(OSError), socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what is left of connections does not matter
            tcp.bind(("127.0.0.1", port))
            udp.bind(("127.0.0.1", port))
            return port
