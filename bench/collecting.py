"""`mediaserver`, the command, with garbage collections that nothing asked for: python -m bench.collecting EVERY_S …

Every so often a thread makes cycles that only a collection frees, and has all generations collected: the longest pause
that Python's collector makes in this process, as often as that.
"""

from __future__ import annotations

import gc
import sys
import threading
import time

from mediaserver.cli import main

CYCLES = 20_000


def make_cycles(count: int) -> None:
    for _ in range(count):
        cycle: list[object] = []
        cycle.append(cycle)


def collect(every_s: float) -> None:
    while True:
        make_cycles(CYCLES)
        gc.collect()
        time.sleep(every_s)


if __name__ == "__main__":
    threading.Thread(target=collect, args=(float(sys.argv.pop(1)),), daemon=True).start()
    main()
