"""A real-time priority for the threads that move packets, where the system permits one.

The thread's tick is due to the millisecond, and the scheduler shares a core fairly: beside a busy event loop a thread
waits for its turn, however little it has to do. With SCHED_RR it does not wait. A thread that is never done is still
stopped by the kernel for a twentieth of each second (sched_rt_runtime_us), so nobody else is shut out for good.
"""

import os
import time
from pathlib import Path

PRIORITY = 1
"""The lowest of real-time priorities: above all that is shared fairly, below what the system itself has."""

THREADS = "plane-"
"""What the plane's threads are called (native/src/worker_loop.cpp)."""


PATIENCE_S = 1.0
"""For threads that have just been started to say what they are called."""


def prefer_packets(workers: int) -> int:
    """How many of the threads have it now. PermissionError without CAP_SYS_NICE, or RLIMIT_RTPRIO of at least 1."""
    deadline = time.monotonic() + PATIENCE_S
    while len(threads := _packet_threads()) < workers and time.monotonic() < deadline:
        time.sleep(0.005)
    for thread in threads:
        # What a thread starts does not inherit it.
        os.sched_setscheduler(thread, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(PRIORITY))
    return len(threads)


def _packet_threads() -> list[int]:
    tasks = Path("/proc/self/task").iterdir()
    return [int(task.name) for task in tasks if (task / "comm").read_text().startswith(THREADS)]
