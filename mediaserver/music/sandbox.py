"""What a decoder's process may not do, from before it sees its first byte to its end.

It has the descriptors of its job and can get no other: by RLIMIT_NOFILE they are all the numbers that there are, so
neither a file nor a socket can be opened. It can make no process and no core, writes no memory file larger than it was
told, has a bound on its memory and its CPU time, and is nobody when the server is root. It ends with its parent.
"""

import ctypes
import fcntl
import os
import resource
import signal
from dataclasses import dataclass

# On top of what the forked process has. A decoder needs some MiB; a hostile header gets no more than this.
MEMORY = 256 * 1024 * 1024
NOBODY = 65534
NICE = 5  # ahead of it go the threads that move packets: it is seconds ahead of time

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
# Loaded before the fork: afterwards no library could be opened.
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Bounds:
    """cpu_s: of CPU time in all; memory_file: the largest file that it may write to, bytes."""

    cpu_s: int
    memory_file: int


def enter(fds: list[int], parent: int, memory: int, bounds: Bounds) -> None:
    """Makes these descriptors numbers 0, 1, ... and all there are, and gives up everything else. parent: its process
    id; memory: bytes of address space before the fork. OSError when the process cannot be bound, and must not go on."""
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 64) for fd in fds]  # out of the way of each other
    for number, fd in enumerate(high):
        os.dup2(fd, number, inheritable=False)
    os.closerange(len(fds), 4096)
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    os.setpriority(os.PRIO_PROCESS, 0, NICE)
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    for what, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_FSIZE, bounds.memory_file),
        (resource.RLIMIT_CPU, bounds.cpu_s),
        (resource.RLIMIT_AS, memory + bounds.memory_file + MEMORY),
        (resource.RLIMIT_NOFILE, len(fds)),
    ):
        resource.setrlimit(what, (most, most))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


def measure() -> int:
    """Bytes of address space that this process has now."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[0]) * resource.getpagesize()
