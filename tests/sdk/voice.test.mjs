import assert from 'node:assert/strict';
import {beforeEach, test} from 'node:test';
import {browser, devices, goOn, online, settled} from './browser.mjs';

browser({mediaDevices: devices});
const {Emitter} = await import('../../web/sdk/emitter.js');
const {Refusal, Unreachable} = await import('../../web/sdk/http.js');
const {MicrophoneError} = await import('../../web/sdk/microphone.js');
const {Voice} = await import('../../web/sdk/voice.js');

class FakeMedia extends Emitter {
    state = 'connected';
    said = [];
    fails = null;
    async publish(microphone) {
        this.said.push(microphone);
        if (this.fails) throw this.fails;
    }
    async unpublish() {
        this.said.push('nothing');
    }
    setMuted(muted) {
        this.muted = muted;
    }
}
const NO_SEAT = new Refusal(403, {title: 'You have no seat.'});
let media, may, muted, voice, problems, changes;

beforeEach(() => {
    online.clear();
    [media, may, muted, problems, changes] = [new FakeMedia(), true, false, [], []];
    voice = new Voice({may: () => may, muted: () => muted});
    voice.on('problem', error => problems.push(error));
    voice.on('change', () => changes.push(voice.problem));
    voice.start(media);
});

test('a seat that the media server does not know yet is tried again in silence, and told when that lasts', async () => {
    media.fails = NO_SEAT;
    await voice.follow();
    for (let i = 0; i < 2; i++) await goOn();
    assert.deepEqual([media.said.length, problems], [3, []]);
    media.fails = null;
    await goOn();
    assert.deepEqual([media.said.length, online.size], [4, 0]);
    media.fails = NO_SEAT;
    await voice.follow();
    for (let i = 0; i < 6; i++) await goOn();
    assert.deepEqual(problems, [NO_SEAT]);
    may = false;
    await goOn();
    assert.deepEqual([media.said.at(-1), online.size], ['nothing', 0]);
});

test('a media server that is away is told at once, once, and tried again until it is back', async () => {
    media.fails = new Unreachable();
    await voice.follow();
    for (let i = 0; i < 5; i++) await goOn();
    assert.deepEqual(problems, [media.fails]);
    media.fails = null;
    muted = true;
    await goOn();
    assert.deepEqual([media.muted, online.size], [true, 0]);
});

test('what can never be sent is told and not tried again', async () => {
    media.fails = new Refusal(415, {});
    await voice.follow();
    assert.deepEqual([problems, online.size], [[media.fails], 0]);
});

test('a microphone that is unplugged is replaced by what there is, or waited for', async () => {
    voice.microphone = {deviceId: 'headset'};
    await voice.follow();
    muted = true;
    media.emit('unpublished', 'microphone');
    await settled();
    assert.deepEqual([media.said, media.muted], [[{deviceId: 'headset'}, true], true]);
    media.fails = new MicrophoneError('NotFoundError');
    media.emit('unpublished', 'microphone');
    await settled();
    assert.deepEqual([voice.problem, problems, changes, online.size], ['NotFoundError', [media.fails], ['NotFoundError'], 0]);
    media.fails = null;
    devices.dispatchEvent(new Event('devicechange'));
    await settled();
    assert.deepEqual([voice.problem, changes], ['', ['NotFoundError', '']]);
});

test('a microphone that the server alone has stopped is sent again, and one that the app has stopped is not', async () => {
    await voice.follow();
    media.emit('unpublished', 'asked');
    await settled();
    assert.equal(media.said.length, 1);
    media.emit('unpublished', 'seat');
    await settled();
    assert.equal(media.said.length, 2);
});

test('it does nothing once it is stopped', async () => {
    media.fails = new Unreachable();
    await voice.follow();
    voice.stop();
    await goOn();
    devices.dispatchEvent(new Event('devicechange'));
    await voice.follow();
    assert.equal(media.said.length, 1);
});
