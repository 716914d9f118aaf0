import assert from 'node:assert/strict';
import {beforeEach, test} from 'node:test';
import {browser, goOn, online, settled} from './browser.mjs';

browser({});
const {Calls} = await import('../../web/sdk/call.js');
const {Emitter} = await import('../../web/sdk/emitter.js');
const {RpcError} = await import('../../web/sdk/rpc-error.js');

const party = (user, state, more) => ({user, state, by: 'bob', device: null, mutes: [], reason: null, ...more});
const callWith = (own, more) => ({
    id: 'c', caller: 'bob', owner: 'bob', parties: [party('bob', 'in', {device: 'x'}), own],
    answered_at: 5, ended_at: null, reason: null, duration_s: 0, ...more,
});
const IN = party('ann', 'in', {device: 'here'});
const RINGING = party('ann', 'ringing');

/** A service whose answers are what a test says. It never gives addresses: nobody is heard here. */
class FakeSignaling extends Emitter {
    user = 'ann';
    device = 'here';
    current = null;
    asked = [];
    fails = {};
    async call(method, params) {
        this.asked.push(method);
        if (this.fails[method]) throw this.fails[method];
        if (method === 'get_call_media') return new Promise(() => {});
        if (method === 'get_current_call') return {call: this.current};
        return method === 'get_call' ? this.call_ : params;
    }
}
let signaling, calls, told, ends;

beforeEach(() => {
    online.clear();
    signaling = new FakeSignaling();
    [calls, told, ends] = [new Calls(signaling), [], []];
    for (const name of ['incoming', 'resumed']) {
        calls.on(name, call => {
            told.push([name, call]);
            call.on('ended', ({reason, duration_s}) => ends.push([reason, duration_s]));
        });
    }
});

test('a call that this device is in goes on in a page that was loaded anew, with his mute', async () => {
    signaling.current = callWith(party('ann', 'in', {device: 'here', mutes: ['self']}));
    calls.resume();
    await settled();
    const [[name, call]] = told;
    assert.deepEqual([name, call.state, call.muted], ['resumed', 'in', true]);
    assert.ok(call.media && signaling.asked.includes('get_call_media'));
    signaling.emit('reload', []);
    await settled();
    assert.deepEqual([told.length, signaling.asked.filter(one => one === 'get_call_media').length], [1, 1]);
    await call.hangUp();
    assert.ok(signaling.asked.includes('hang_up'));
});

test('a call that goes on is joined again when its media server is back', async () => {
    signaling.current = callWith(IN);
    signaling.fails.get_call_media = new RpcError({message: 'Away.', data: {problem: 'media-unreachable'}});
    calls.resume();
    await settled();
    await goOn();
    delete signaling.fails.get_call_media;
    await goOn();
    assert.deepEqual([ends, signaling.asked.filter(one => one === 'get_call_media').length], [[], 3]);
    assert.equal(told[0][1].media.state, 'connecting');
});

test('a call rings in a new page, and one that another device is in does nothing here', async () => {
    signaling.current = callWith(party('ann', 'in', {device: 'other'}));
    await calls.resume();
    assert.deepEqual(told, []);
    signaling.current = callWith(RINGING, {answered_at: null});
    await calls.resume();
    assert.equal(told[0][0], 'incoming');
    signaling.current = callWith(party('ann', 'in', {device: 'other'}));
    await calls.resume();
    assert.deepEqual(ends, [['answered elsewhere', 0]]);
});

test('a call that is over when what was missed is asked for ends here, with what became of it', async () => {
    signaling.current = callWith(RINGING);
    await calls.resume();
    signaling.current = null;
    signaling.call_ = callWith(party('ann', 'out', {reason: 'completed'}), {ended_at: 70, reason: 'completed', duration_s: 65});
    signaling.fails.get_current_call = new RpcError({message: 'Lost.', data: {problem: 'connection-lost'}});
    signaling.emit('reload', ['user:ann']);
    await settled();
    assert.deepEqual(ends, []);
    signaling.fails = {};
    await goOn();
    assert.deepEqual(ends, [['completed', 65]]);
    signaling.current = callWith(RINGING);
    await calls.resume();
    signaling.current = {...callWith(RINGING), id: 'd'};
    signaling.fails.get_call = new RpcError({message: 'Gone.', data: {problem: 'no-such-thing'}});
    await calls.resume();
    assert.deepEqual([ends.at(-1), told.length], [['lost', 0], 3]);
});

test('a mute in a call that fails leaves the microphone as it is shown', async () => {
    signaling.current = callWith(IN);
    calls.resume();
    await settled();
    const [[, call]] = told;
    const set = [];
    call.media.setMuted = muted => set.push(muted);
    signaling.fails.mute_party = new RpcError({message: 'Late.', data: {problem: 'no-answer'}});
    await assert.rejects(call.mute(), RpcError);
    assert.deepEqual(set, [true, false]);
});

test('a call that is declined while its caller joins it has ended when it is given', async () => {
    signaling.call = async method => {
        if (method === 'start_call') return callWith(party('ann', 'in', {device: 'here'}), {answered_at: null});
        signaling.emit('event', {event: 'call_ended', data: {call: 'c', reason: 'rejected', duration_s: 0}});
        throw new RpcError({message: 'Over.', data: {problem: 'not-in-call'}});
    };
    const call = await calls.start(['bob']);
    assert.deepEqual([call.state, call.ended], ['ended', {reason: 'rejected', duration_s: 0}]);
});
