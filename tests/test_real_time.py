"""`--real-time`: the packet threads' priority where the system permits one, and a sentence where it does not."""

import os
from pathlib import Path

from tests.conftest import StartServer
from tests.server import COMMAND, Server

REFUSED = b"no real-time priority: the process has neither CAP_SYS_NICE nor RLIMIT_RTPRIO"
WITHOUT = ("setpriv", "--bounding-set=-sys_nice", "--inh-caps=-sys_nice")


def packet_threads(server: Server) -> list[int]:
    tasks = Path(f"/proc/{server.process.pid}/task").iterdir()
    return [int(task.name) for task in tasks if (task / "comm").read_text().startswith("plane-")]


def test_packet_threads_have_a_real_time_priority_where_it_is_permitted(start_server: StartServer) -> None:
    server = start_server("--real-time", "--workers", "2")
    threads = packet_threads(server)
    assert len(threads) == 2
    policies = {os.sched_getscheduler(thread) & ~os.SCHED_RESET_ON_FORK for thread in threads}
    assert policies == ({os.SCHED_OTHER} if REFUSED in server.log else {os.SCHED_RR})
    assert os.sched_getscheduler(server.process.pid) == os.SCHED_OTHER


def test_a_server_that_may_not_says_so_and_goes_on(tmp_path: Path) -> None:
    program = (*(WITHOUT if os.geteuid() == 0 else ()), COMMAND)
    server = Server(tmp_path / "log", "--real-time", program=program)
    try:
        server.wait_ready()
        assert REFUSED in server.log
        assert {os.sched_getscheduler(thread) for thread in packet_threads(server)} == {os.SCHED_OTHER}
    finally:
        server.stop()
