"""The media server's command with one thread more: for each number on standard input it holds the interpreter for so
many microseconds, as a C extension does that computes without releasing it. It prints when, by the system's clock."""

import ctypes
import sys
import threading
import time

from mediaserver.cli import main


def hold() -> None:
    # CDLL would release the interpreter during the call, PyDLL does not.
    usleep = ctypes.PyDLL(None).usleep
    for line in sys.stdin:
        print("holding", flush=True)
        begun = time.monotonic()
        usleep(int(line))
        print("held", begun, time.monotonic(), flush=True)


threading.Thread(target=hold, daemon=True).start()
main()
