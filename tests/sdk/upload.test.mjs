import assert from 'node:assert/strict';
import {test} from 'node:test';

// A browser's XMLHttpRequest, as far as the module uses it; `serve` is what a test makes of each.
let serve;
class FakeRequest {
    upload = {};
    headers = {};
    open(method, url) {
        Object.assign(this, {method, url: String(url)});
    }
    setRequestHeader(name, value) {
        this.headers[name] = value;
    }
    send(body) {
        this.body = body;
        queueMicrotask(() => serve(this));
    }
    abort() {
        this.onabort();
        this.onloadend();
    }
    answer(status, response) {
        Object.assign(this, {status, response});
        this.onload();
        this.onloadend();
    }
}
Object.assign(globalThis, {XMLHttpRequest: FakeRequest, location: {href: 'https://rooms.example/talk/'}});
const {upload} = await import('../../web/sdk/upload.js');
const {Signaling} = await import('../../web/sdk/signaling.js');
const {VoiceRoom} = await import('../../web/sdk/voice-room.js');
const file = (name, type = 'audio/flac') => Object.assign(new Blob(['music'], {type}), {name});

test('a file is sent with its type, tells how far it is, and the answer is given', async () => {
    const told = [];
    serve = request => {
        assert.deepEqual([request.method, request.headers], ['POST', {Authorization: 'Bearer t', 'Content-Type': 'audio/flac'}]);
        request.upload.onprogress({loaded: 2, total: 5});
        request.answer(200, {media: {id: 'a'}});
    };
    assert.deepEqual(await upload('/x', 't', file('a.flac'), {onProgress: (sent, total) => told.push([sent, total])}), {media: {id: 'a'}});
    assert.deepEqual(told, [[2, 5]]);
});

test('what is of no kind of sound is sent as bytes', async () => {
    serve = request => request.answer(200, {type: request.headers['Content-Type']});
    assert.deepEqual(await upload('/x', 't', file('a', 'text/html')), {type: 'application/octet-stream'});
});

test('a refusal has its name and its sentence', async () => {
    serve = request => request.answer(422, {problem: 'not-music', detail: 'It has no sound.'});
    await assert.rejects(upload('/x', 't', file('a')), {name: 'RpcError', problem: 'not-music', message: 'It has no sound.'});
    serve = request => request.answer(502, null);
    await assert.rejects(upload('/x', 't', file('a')), {problem: 'failed', message: 'The service answered 502.'});
    serve = request => request.onerror();
    await assert.rejects(upload('/x', 't', file('a')), {problem: 'connection-lost'});
});

test('it can be cancelled, before and while it is sent, and the signal is let go of afterwards', async () => {
    const cancel = new AbortController();
    serve = () => cancel.abort(new Error('enough'));
    await assert.rejects(upload('/x', 't', file('a'), {signal: cancel.signal}), {message: 'enough'});
    await assert.rejects(upload('/x', 't', file('a'), {signal: cancel.signal}), {message: 'enough'});
    const other = new AbortController();
    serve = request => request.answer(200, {});
    await upload('/x', 't', file('a'), {signal: other.signal});
    other.abort();
});

test('a room sends it beside its WebSocket, under the name of the file', async () => {
    const signaling = new Signaling({url: 'wss://rooms.example/base/v1/ws', token: async () => 't'});
    const room = new VoiceRoom(signaling);
    room.state = {id: 'r 1'};
    serve = request => request.answer(200, {media: {url: request.url}});
    const sent = await room.uploadMusic(file('Ein Lied.v2.flac'));
    assert.equal(sent.url, 'https://rooms.example/base/v1/library?room=r+1&title=Ein+Lied.v2');
    assert.match((await room.uploadMusic(file('a'.repeat(300)))).url, /title=a{200}$/);
});
