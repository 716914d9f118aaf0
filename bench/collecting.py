"""`mediaserver`, the command, with garbage collections that nothing asked for: its first argument is a file.

While the file exists, ten times a second a thread makes cycles that only a collection frees, and has all generations
collected: the longest pause that Python's collector makes in this process, as often as that.
"""

from __future__ import annotations

import gc
import sys
import threading
import time
from pathlib import Path

from mediaserver.cli import main

CYCLES = 20_000
EVERY_S = 0.1


def make_cycles(count: int) -> None:
    for _ in range(count):
        cycle: list[object] = []
        cycle.append(cycle)


def collect(wanted: Path) -> None:
    while True:
        if wanted.exists():
            make_cycles(CYCLES)
            gc.collect()
        time.sleep(EVERY_S)


def serve() -> None:
    threading.Thread(target=collect, args=(Path(sys.argv.pop(1)),), daemon=True).start()
    main()
