"""Debian's Firefox, headless, in a test's hands (browsers/driven.mjs)."""

import asyncio
import json
import os
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).parent / "browsers" / "driven.mjs"
LINE_BYTES = 1 << 20


class Firefox:
    """What is typed, pressed and seen is of the tab that was opened or adopted last."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def __call__(self, command: str, **asked: Any) -> Any:
        """AssertionError when it cannot be done."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": command, **asked}).encode() + b"\n")
        line = await asyncio.wait_for(self._process.stdout.readline(), 60)
        assert line, "Firefox has ended."
        answer = json.loads(line)
        assert "result" in answer, f"{answer['failed']}; {await self('errors') if command != 'errors' else ''}"
        return answer["result"]

    async def until(self, script: str, within_s: float = 15.0) -> Any:
        """Its value, once it is true."""
        async with asyncio.timeout(within_s):
            while not (value := await self("evaluate", script=script)):  # noqa: ASYNC110 - nobody would set an event
                await asyncio.sleep(0.1)
        return value

    async def notified(self, title: str, within_s: float = 30.0) -> str:
        """The text under this title on the screen."""
        shown: list[dict[str, str]] = []
        try:
            async with asyncio.timeout(within_s):
                while not (found := [one for one in shown if one["title"] == title]):
                    await asyncio.sleep(0.1)
                    shown = await self("notifications")
        except TimeoutError:
            raise AssertionError(f"Not shown: {title}; {shown}") from None
        return found[0]["text"]

    async def not_notified(self, title: str, within_s: float = 30.0) -> None:
        """It is taken away."""
        async with asyncio.timeout(within_s):
            while title in [one["title"] for one in await self("notifications")]:  # noqa: ASYNC110
                await asyncio.sleep(0.1)


@asynccontextmanager
async def firefox(preferences: Mapping[str, object], environment: Mapping[str, str]) -> AsyncIterator[Firefox]:
    """preferences: of about:config."""
    process = await asyncio.create_subprocess_exec(
        "node",
        str(SCRIPT),
        json.dumps(preferences),
        stdin=PIPE,
        stdout=PIPE,
        limit=LINE_BYTES,
        env={**os.environ, **environment},
    )
    assert process.stdin is not None
    try:
        yield Firefox(process)
    finally:
        process.stdin.close()
        await asyncio.wait_for(process.wait(), 30)
