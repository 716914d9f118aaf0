"""Chromium for tests: Debian's, headless, with a WAV file as its microphone, and an ear for what its tabs play."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from playwright.async_api import Browser, BrowserContext, Page, async_playwright

FLAGS = [
    "--no-sandbox",  # tests run as root in containers
    "--use-fake-device-for-media-stream",
    "--allow-loopback-in-peer-connection",
    "--autoplay-policy=no-user-gesture-required",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
    "--disable-gpu",
    # Tabs that nobody looks at must go on talking and listening at full speed.
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
]

# The loudest that each slot of the page's Media was at each pitch during some milliseconds: 8192 samples are 0.19 s.
LISTEN = """async ([pitches, milliseconds]) => {
    const context = new AudioContext();
    await context.resume();
    const ears = ((window.media ?? window.page.media)?.listener?.slots ?? []).map(slot => {
        const analyser = context.createAnalyser();
        analyser.fftSize = 8192;
        analyser.smoothingTimeConstant = 0;
        context.createMediaStreamSource(slot.stream).connect(analyser);
        return {analyser, bins: new Float32Array(analyser.frequencyBinCount), loudest: pitches.map(() => -120)};
    });
    const end = performance.now() + milliseconds;
    while (performance.now() < end) {
        await new Promise(resolve => setTimeout(resolve, 40));
        for (const {analyser, bins, loudest} of ears) {
            analyser.getFloatFrequencyData(bins);
            pitches.forEach((pitch, i) => {
                const bin = Math.round(pitch * analyser.fftSize / context.sampleRate);
                loudest[i] = Math.max(loudest[i], ...bins.subarray(bin - 1, bin + 2));
            });
        }
    }
    await context.close();
    return ears.map(ear => ear.loudest);
}"""


@dataclass
class Tab:
    """A tab with a page and everything that went wrong in it."""

    page: Page
    errors: list[str] = field(default_factory=list)

    async def state(self, expression: str) -> Any:
        """The value of a JavaScript expression on the page, `page.media` being the media server's page's Media."""
        return await self.page.evaluate(expression)

    async def until(self, expression: str, *, within_s: float = 10.0) -> None:
        """Waits for a JavaScript expression to be true. AssertionError when it does not come true."""
        # playwright's own wait_for_function() needs eval(), which the page's Content-Security-Policy forbids.
        deadline = time.monotonic() + within_s
        while not await self.state(expression):
            assert time.monotonic() < deadline, f"not within {within_s} s: {expression}; errors: {self.errors}"
            await asyncio.sleep(0.05)

    async def levels_db(self, *pitches_hz: int, seconds: float = 1.5) -> list[list[float]]:
        """For each slot, how loud each pitch was at its loudest; -120 is silence."""
        return cast(list[list[float]], await self.page.evaluate(LISTEN, [list(pitches_hz), 1000 * seconds]))

    async def loudest_db(self, pitch_hz: int, seconds: float = 1.5) -> float:
        """The same for one pitch, whichever slot it is in."""
        return max((level for (level,) in await self.levels_db(pitch_hz, seconds=seconds)), default=-120.0)


class Chromium:
    """One browser process: its microphone is the same in all of its tabs."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self.tabs: list[Tab] = []

    async def open(self, url: str, *, context: BrowserContext | None = None, script: str = "") -> Tab:
        """`script` runs before the page's own."""
        page = await (context.new_page() if context else self._browser.new_page())
        if script:
            await page.add_init_script(script)
        tab = Tab(page)
        page.on("pageerror", lambda error: tab.errors.append(str(error)))
        page.on("console", lambda message: tab.errors.append(message.text) if message.type == "error" else None)
        self.tabs.append(tab)
        await page.goto(url)
        return tab

    async def context(self) -> BrowserContext:
        """Whose tabs share what they keep."""
        return await self._browser.new_context()

    async def refusing_microphones(self) -> BrowserContext:
        """A context whose user says no when a page asks for the microphone."""
        context = await self._browser.new_context()
        await context.clear_permissions()
        return context


@asynccontextmanager
async def chromium(microphone: Path | None = None, *, asks: bool = False) -> AsyncIterator[Chromium]:
    """A browser. Without a file the fake microphone beeps; one that `asks` for permission is refused."""
    flags = [*FLAGS]
    if microphone is not None:
        flags.append(f"--use-file-for-fake-audio-capture={microphone}")
    flags.append("--deny-permission-prompts" if asks else "--use-fake-ui-for-media-stream")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", headless=True, args=flags)
        try:
            yield Chromium(browser)
        finally:
            await browser.close()
