"""A process that has loaded FFmpeg once and forks a decoder for each job, so that one starts in milliseconds and shares
its memory with the others. Run as `python -m mediaserver.music.forkserver FD WRITER`: a SOCK_SEQPACKET socket, and
`module:name` of what writes into rings.

    in:   {"id", "job", "bounds"} with the job's descriptors (input, reports, output)
    out:  {"id", "pid"} with a pidfd;  {"pid", "status"} when it has ended (negative: by this signal)

It ends when the socket does, and its decoders with it. It does nothing that could wait for anything else.
"""

import importlib
import json
import os
import selectors
import signal
import socket
import sys
from contextlib import suppress
from typing import Any

from mediaserver.music import decoding, sandbox
from mediaserver.music.jobs import Job, Output
from mediaserver.music.sinks import open_output

MAX_REQUEST = 4096


def main() -> None:
    channel = socket.socket(fileno=int(sys.argv[1]))
    channel.setblocking(True)
    make_writer = load(sys.argv[2])
    decoding.warm_up()
    memory = sandbox.measure()
    nowhere = os.open(os.devnull, os.O_RDWR)
    wake, woken = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is the server's matter
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    ready = selectors.DefaultSelector()
    ready.register(channel, selectors.EVENT_READ)
    ready.register(wake, selectors.EVENT_READ)
    channel.send(b'{"ready": true}')
    while True:
        for key, _ in ready.select():
            if key.fileobj is channel:
                if not _serve(channel, make_writer, memory, nowhere):
                    return
            else:
                os.read(wake, 4096)
                _reap(channel)


def load(name: str) -> Any:
    """What `module:name` is."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _serve(channel: socket.socket, make_writer: Any, memory: int, nowhere: int) -> bool:
    data, fds, _, _ = socket.recv_fds(channel, MAX_REQUEST, 3)
    if not data:
        return False
    request = json.loads(data)
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            job = Job(**{**request["job"], "output": Output(request["job"]["output"])})
            output = open_output(job, fds[2] if fds[2:] else None, make_writer)
            given = [*fds[:2], nowhere, *fds[2:]]
            sandbox.enter(given, parent, memory, sandbox.Bounds(**request["bounds"]))
            decoding.run(job, output)
        finally:
            os._exit(0)
    for fd in fds:
        os.close(fd)
    pidfd = os.pidfd_open(pid)
    try:
        socket.send_fds(channel, [json.dumps({"id": request["id"], "pid": pid}).encode()], [pidfd])
    finally:
        os.close(pidfd)
    return True


def _reap(channel: socket.socket) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        channel.send(json.dumps({"pid": pid, "status": os.waitstatus_to_exitcode(status)}).encode())


if __name__ == "__main__":
    with suppress(BrokenPipeError, ConnectionResetError):  # the server is gone
        main()
