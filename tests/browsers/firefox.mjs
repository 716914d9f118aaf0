// Debian's Firefox, which never uses loopback addresses for media, as somebody who joins a room by the page, talks (Firefox's own fake microphone, a tone) and listens.
// firefox.mjs URL NAME ROOM PITCH: joins, takes a seat, and says in lines of JSON how loud it hears that pitch, until stdin ends.

import puppeteer from 'puppeteer-core';

const [url, name, room, pitch] = process.argv.slice(2);
const browser = await puppeteer.launch({
    browser: 'firefox',
    executablePath: '/usr/bin/firefox-esr',
    headless: true,
    extraPrefsFirefox: {
        'media.navigator.streams.fake': true,
        'media.navigator.audio.fake_frequency': 1000,
        'media.navigator.permission.disabled': true,
        'media.autoplay.default': 0,
        'media.peerconnection.ice.obfuscate_host_addresses': false,
        'media.autoplay.block-webaudio': false,
    },
});
process.stdin.resume();
process.stdin.on('end', () => browser.close().then(() => process.exit(0)));

const say = what => console.log(JSON.stringify(what));
try {
    const page = await browser.newPage();
    const errors = [];
    page.on('pageerror', error => errors.push(String(error)));
    await page.goto(url);
    await page.locator('input[name=name]').fill(name);
    await page.locator('input[name=password]').fill(`${name}'s password`);
    await page.locator('voice-login button.primary').click();
    await page.locator(`button[aria-label^="Open ${room}"]`).click();
    await page.locator('button.take').click();
    await page.waitForSelector('.seat.me');
    say({seated: true});
    while (true) {
        const heard = await page.evaluate(loudest, Number(pitch));
        say({...heard, errors});
    }
} catch (error) {
    say({failed: String(error)});
    await browser.close();
    process.exit(1);
}

/** The loudest that the pitch was in half a second, in dB, and whether media is connected both ways. */
async function loudest(pitch) {
    const {media} = document.querySelector('voice-app').room;
    const context = new AudioContext();
    context.resume();
    for (let i = 0; i < 40 && context.state !== 'running'; i++) await new Promise(resolve => setTimeout(resolve, 50));
    const {state} = context;
    const analyser = new AnalyserNode(context, {fftSize: 8192, smoothingTimeConstant: 0});
    const [slot] = media.listener?.slots ?? [];
    const source = slot && context.createMediaStreamSource(slot.stream);
    source?.connect(analyser);
    const bins = new Float32Array(analyser.frequencyBinCount);
    const bin = Math.round(pitch * 8192 / context.sampleRate);
    let db = -120;
    const end = performance.now() + 500;
    while (performance.now() < end) {
        await new Promise(resolve => setTimeout(resolve, 40));
        analyser.getFloatFrequencyData(bins);
        db = Math.max(db, ...bins.subarray(bin - 1, bin + 2));
    }
    await context.close();
    return {db, web_audio: state, speaks: media.publisher?.connected ?? false, listens: media.listener?.connected ?? false};
}
