import assert from 'node:assert/strict';
import {beforeEach, test} from 'node:test';
import {browser, goOn, online, settled} from './browser.mjs';

browser({});
const {Emitter} = await import('../../web/sdk/emitter.js');
const {RpcError} = await import('../../web/sdk/rpc-error.js');
const {VoiceRoom} = await import('../../web/sdk/voice-room.js');

const person = (user, seat = null) => ({user, role: seat === null ? 'listener' : 'speaker', seat, mutes: [], nick: '', away: false});
const refusal = problem => new RpcError({message: problem, data: {problem}});

/** A service whose answers are what a test says. It never gives addresses: nobody is heard here. */
class FakeSignaling extends Emitter {
    user = 'ann';
    asked = [];
    view = {
        id: 'r', title: 'Hall', status: 1, host: 'zoe', admins: [], settings: {seats: 2, mode: 'free'}, online: 300, hands: [], invites: [],
        seats: [0, 1].map(seat => ({seat, user: null, locked: false, mutes: []})), info: {}, info_version: 0, likes: 0, own: person('ann'),
    };
    people = [person('zoe', 0)];
    fails = {};
    during = {};
    async call(method, params) {
        this.asked.push(method);
        this.during[method]?.();
        if (this.fails[method]) throw this.fails[method];
        if (method === 'get_addresses') return new Promise(() => {});
        if (method === 'get_attendee_list') return {attendees: this.people, total: 300};
        if (method === 'get_messages') return {messages: []};
        return ['login_room', 'get_room'].includes(method) ? structuredClone(this.view) : params;
    }
    tell(event, data) {
        this.emit('event', {stream: 'room:r', seq: 0, at: 0, event, data});
    }
    times = method => this.asked.filter(one => one === method).length;
}
let signaling, room, ends;

beforeEach(async () => {
    online.clear();
    signaling = new FakeSignaling();
    [room, ends] = [new VoiceRoom(signaling), []];
    room.on('ended', ({reason}) => ends.push(reason));
    room.enter('r');
    await settled();
});

const reload = async () => {
    signaling.emit('reload', ['room:r']);
    await settled();
};

test('who finds himself in a room no more when he is back has been away for too long', async () => {
    signaling.view.own = null;
    await reload();
    assert.deepEqual([ends, room.state], [['lost'], null]);
});

test('a room that has ended meanwhile was dismissed, whether the service knows it still or not', async () => {
    signaling.view = {...signaling.view, own: null, status: 2};
    await reload();
    assert.deepEqual(ends, ['dismissed']);
    signaling.view.own = person('ann');
    room.enter('r');
    await settled();
    signaling.fails.get_room = refusal('no-such-room');
    await reload();
    assert.deepEqual(ends, ['dismissed', 'dismissed']);
});

test('a room that cannot be asked for now is asked for until it can', async () => {
    for (const problem of ['connection-lost', 'no-answer', 'too-often', 'unavailable']) {
        signaling.fails = {get_room: refusal(problem)};
        await reload();
        signaling.fails = {get_attendee_list: refusal(problem)};
        await goOn();
        signaling.fails = {};
        signaling.view.title = problem;
        await goOn();
        assert.deepEqual([ends, room.state.title], [[], problem]);
    }
    signaling.fails.get_room = refusal('forbidden');
    await reload();
    assert.deepEqual(ends, ['lost']);
});

test('a room is asked for no more once it is left', async () => {
    signaling.fails.get_room = refusal('no-answer');
    await reload();
    await room.leave();
    await goOn();
    assert.equal(signaling.times('get_room'), 1);
});

test('a room that is left while it is asked for stays left', async () => {
    signaling.during.get_attendee_list = () => room.leave();
    await reload();
    assert.deepEqual([ends, room.state], [['left'], null]);
});

test('what happens while the room is asked for is not overwritten', async () => {
    const taken = {user: 'ann', seat: 1, role: 'speaker', mutes: ['host']};
    signaling.during.get_attendee_list = () => {
        signaling.tell('seat_taken', taken);
        signaling.tell('message', {id: 'm', number: 1, by: 'zoe', data: {text: 'welcome'}});
        signaling.tell('message', {id: 'm', number: 1, by: 'zoe', data: {text: 'welcome'}});
    };
    await reload();
    assert.deepEqual([room.seat, room.mutes, room.messages.length], [1, ['host'], 1]);
    room.leave();
    room = new VoiceRoom(signaling);
    room.enter('r');
    await settled();
    assert.deepEqual([room.seat, room.mutes], [1, ['host']]);
});

test('being sent out while the room is asked for ends it for that reason', async () => {
    signaling.during.get_room = () => signaling.tell('attendee_left', {user: 'ann', reason: 'kicked'});
    signaling.view.own = null;
    await reload();
    assert.deepEqual(ends, ['kicked']);
});

test('who is beyond the first page of people is among them, and knows who mutes him', async () => {
    signaling.view.own = {...person('ann', 1), mutes: ['self']};
    signaling.view.seats[1] = {seat: 1, user: 'ann', locked: false, mutes: ['self']};
    await reload();
    assert.deepEqual([room.mutes, room.role, room.state.online], [['self'], 'speaker', 300]);
    signaling.tell('unmuted', {user: 'ann', source: 'self', mutes: []});
    assert.deepEqual(room.mutes, []);
});

test('a mute that fails leaves the microphone as it is shown', async () => {
    const set = [];
    room.media.setMuted = muted => set.push(muted);
    signaling.fails.mute = refusal('no-answer');
    await assert.rejects(room.mute(), RpcError);
    assert.deepEqual(set, [true, false]);
    signaling.view.own.mutes = ['host'];
    await reload();
    await assert.rejects(room.mute(), RpcError);
    assert.deepEqual(set.slice(-2), [true, true]);
});

test('a room that cannot be entered is heard no more', async () => {
    const other = new VoiceRoom(signaling);
    signaling.fails.login_room = refusal('room-full');
    await assert.rejects(other.enter('r'), RpcError);
    signaling.tell('message', {id: 'm', number: 1, data: {}});
    assert.deepEqual([other.messages, room.messages.length], [[], 1]);
});
