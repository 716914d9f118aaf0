import assert from 'node:assert/strict';
import {beforeEach, test} from 'node:test';

// A browser's globals, as far as the module uses them; the service is what a test makes of each socket.
let serve;
class FakeSocket {
    constructor() {
        queueMicrotask(() => serve(this));
    }
    open() {
        this.onopen();
    }
    say(message) {
        this.onmessage?.({data: JSON.stringify(message)});
    }
    event(stream, seq, event = 'x') {
        this.say({jsonrpc: '2.0', method: 'event', params: {stream, seq, at: 0, event, data: {seq}}});
    }
    send(text) {
        const message = JSON.parse(text);
        this.said = [...this.said ?? [], message];
        queueMicrotask(() => this.answer(message));
    }
    close(code = 1000) {
        if (this.gone) return;
        this.gone = true;
        queueMicrotask(() => this.onclose?.({code}));
    }
}
const online = new Set();
Object.assign(globalThis, {
    WebSocket: FakeSocket,
    location: {href: 'http://rooms.example/'},
    addEventListener: (_, listener) => online.add(listener),
    removeEventListener: (_, listener) => online.delete(listener),
});
const {Refusal, Unreachable} = await import('../../web/sdk/http.js');
const {RpcError, Signaling} = await import('../../web/sdk/signaling.js');

/** Ends a pause at once, as the browser's `online` does. */
const goOn = () => new Promise(resolve => {
    setTimeout(() => {
        [...online].forEach(listener => listener());
        setTimeout(resolve, 5);
    }, 5);
});
const welcome = (streams, reload = []) => ({user: 'ann', device: 'd', session: 's', heartbeat_s: 20, now: 0, streams, reload});
let sockets, refuses;

beforeEach(() => {
    sockets = [];
    refuses = null;
    serve = socket => {
        sockets.push(socket);
        socket.answer = ({id, method, params}) => {
            if (method !== 'hello') return socket.say({id, result: {method, params}});
            if (refuses) return socket.say({id, error: refuses});
            return socket.say({id, result: welcome({'user:ann': 3})});
        };
        socket.open();
    };
});

test('it says hello, calls, and is told of events once and in order', async () => {
    const signaling = new Signaling({token: async () => 'secret'});
    const seen = [];
    signaling.on('event', ({stream, seq}) => seen.push([stream, seq]));
    await signaling.connect();
    assert.equal(signaling.user, 'ann');
    assert.equal(sockets[0].said[0].params.token, 'secret');
    assert.deepEqual(await signaling.call('take_seat', {seat: 1}), {method: 'take_seat', params: {seat: 1}});
    for (const seq of [4, 5, 5, 4, 6]) sockets[0].event('user:ann', seq);
    assert.deepEqual(seen, [['user:ann', 4], ['user:ann', 5], ['user:ann', 6]]);
    signaling.close();
});

test('after a loss it comes back, says what it saw last, and sends what has waited', async () => {
    const signaling = new Signaling({token: async () => 'secret'});
    await signaling.connect();
    sockets[0].event('room:r', 8);
    sockets[0].close(1006);
    await new Promise(resolve => setTimeout(resolve, 5));
    assert.equal(signaling.state, 'reconnecting');
    const waited = signaling.call('like', {room: 'r'});
    await goOn();
    assert.equal((await waited).method, 'like');
    assert.deepEqual(sockets[1].said[0].params.resume, {'user:ann': 3, 'room:r': 8});
    signaling.close();
});

test('what was sent and not answered is refused, for nobody knows whether it was done', async () => {
    const signaling = new Signaling({token: async () => 'secret'});
    await signaling.connect();
    sockets[0].answer = () => {};
    const asked = signaling.call('take_seat');
    sockets[0].close(1006);
    await assert.rejects(asked, error => error instanceof RpcError && error.problem === 'connection-lost');
    signaling.close();
});

test('a token that ran out is replaced by a new one', async () => {
    const tokens = ['first', 'second'];
    const signaling = new Signaling({token: async () => tokens.shift()});
    await signaling.connect();
    sockets[0].close(4001);
    await goOn();
    assert.equal(signaling.state, 'connected');
    assert.equal(sockets[1].said[0].params.token, 'second');
    signaling.close();
});

test('a refused token and a newer device end it for good', async () => {
    refuses = {code: -32001, message: 'No.', data: {problem: 'unauthorised'}};
    const refused = new Signaling({token: async () => 'old'});
    await assert.rejects(refused.connect(), RpcError);
    assert.equal(refused.state, 'closed');
    refuses = null;
    const replaced = new Signaling({token: async () => 'secret'});
    const reasons = [];
    replaced.on('closed', reason => reasons.push(reason));
    await replaced.connect();
    sockets.at(-1).close(4002);
    await new Promise(resolve => setTimeout(resolve, 5));
    assert.deepEqual([replaced.state, reasons], ['closed', ['replaced']]);
    await assert.rejects(replaced.call('like'), error => error.problem === 'closed');
});

test('a token that is refused ends it for good, and one that cannot be had now is asked for again', async () => {
    const answers = [new Unreachable(), new Refusal(401, {})];
    const signaling = new Signaling({token: async () => {
        throw answers.shift();
    }});
    const reasons = [];
    signaling.on('closed', reason => reasons.push(reason));
    const connected = assert.rejects(signaling.connect(), Refusal);
    await new Promise(resolve => setTimeout(resolve, 5));
    assert.equal(signaling.state, 'reconnecting');
    signaling.retry();
    await connected;
    assert.deepEqual([signaling.state, reasons], ['closed', ['unauthorised']]);
});

test('a connection that is dead when the browser is online again is given up though it never closes', async context => {
    context.mock.timers.enable({apis: ['setTimeout']});
    const signaling = new Signaling({token: async () => 'secret'});
    await signaling.connect();
    sockets[0].answer = () => {};
    sockets[0].close = () => {};
    [...online].forEach(listener => listener());
    context.mock.timers.tick(2999);
    assert.equal(signaling.state, 'connected');
    context.mock.timers.tick(1);
    assert.equal(signaling.state, 'reconnecting');
    signaling.close();
});

/** So much of the mocked clock, in steps between which everything that waits for nothing else is done. */
async function pass(context, milliseconds) {
    for (let passed = 0; passed < milliseconds; passed += 100) {
        context.mock.timers.tick(100);
        await new Promise(setImmediate);
    }
}

test('a service that closes at hello is come back to with one socket at a time, and ever more slowly', async context => {
    context.mock.timers.enable({apis: ['setTimeout', 'setInterval']});
    const signaling = new Signaling({token: async () => 'secret'});
    await signaling.connect();
    const welcomes = serve;
    serve = socket => {
        sockets.push(socket);
        assert.equal(sockets.filter(({gone}) => !gone).length, 1);
        socket.answer = () => socket.close(1013);
        socket.open();
    };
    sockets[0].close(1013);
    await pass(context, 30_000);
    assert.equal(signaling.state, 'reconnecting');
    assert.ok(sockets.length > 4 && sockets.length < 13, `${sockets.length} sockets`);
    serve = welcomes;
    await pass(context, 16_000);
    assert.equal(signaling.state, 'connected');
    const made = sockets.length;
    await pass(context, 30_000);
    assert.equal(sockets.length, made);
    signaling.close();
});

test('a hello that is never answered is given up, though its socket never closes', async context => {
    context.mock.timers.enable({apis: ['setTimeout', 'setInterval']});
    const welcomes = serve;
    serve = socket => {
        sockets.push(socket);
        socket.answer = () => {};
        socket.close = () => {};
        socket.open();
    };
    const signaling = new Signaling({token: async () => 'secret'});
    const connected = signaling.connect();
    await pass(context, 9_000);
    serve = welcomes;
    await pass(context, 2_000);
    await connected;
    assert.deepEqual([signaling.state, sockets.length], ['connected', 2]);
    signaling.close();
});

test('a hello that comes too often, or while something is away, is said again', async () => {
    for (const problem of ['too-often', 'unavailable', 'internal']) {
        refuses = {code: -32000, message: 'Not now.', data: {problem}};
        const signaling = new Signaling({token: async () => 'secret'});
        const ends = [];
        signaling.on('closed', reason => ends.push(reason));
        const connected = signaling.connect();
        await new Promise(resolve => setTimeout(resolve, 5));
        assert.deepEqual([signaling.state, ends, sockets.at(-1).gone], ['reconnecting', [], true]);
        refuses = null;
        await goOn();
        await connected;
        sockets.at(-1).close(1006);
        refuses = {code: -32000, message: 'Not now.', data: {problem}};
        await goOn();
        assert.equal(signaling.state, 'reconnecting');
        refuses = null;
        await goOn();
        assert.deepEqual([signaling.state, ends], ['connected', []]);
        signaling.close();
    }
});

test('another device that takes the place while it says hello ends it', async () => {
    const signaling = new Signaling({token: async () => 'secret'});
    const ends = [];
    signaling.on('closed', reason => ends.push(reason));
    const welcomes = serve;
    serve = socket => {
        welcomes(socket);
        socket.answer = () => socket.close(4002);
    };
    await assert.rejects(signaling.connect(), RpcError);
    assert.deepEqual([signaling.state, ends], ['closed', ['replaced']]);
});

test('what the service says later to have missed is asked for again, and nothing of before is told', async () => {
    const signaling = new Signaling({token: async () => 'secret'});
    const reloads = [], seen = [];
    signaling.on('reload', streams => reloads.push(streams));
    signaling.on('event', ({seq}) => seen.push(seq));
    await signaling.connect();
    sockets[0].say({jsonrpc: '2.0', method: 'reload', params: {stream: 'room:r', last: 40}});
    for (const seq of [40, 41]) sockets[0].event('room:r', seq);
    assert.deepEqual([reloads, seen], [[['room:r']], [41]]);
    sockets[0].close(1006);
    await goOn();
    assert.equal(sockets[1].said[0].params.resume['room:r'], 41);
    signaling.close();
});
