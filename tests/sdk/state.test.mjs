import assert from 'node:assert/strict';
import {test} from 'node:test';

import {applied, leads, roleOf, roomState, seatOf} from '../../web/sdk/room-state.js';

const seat = (number, user = null) => ({seat: number, user, locked: false, mutes: []});
const person = (user, role, number = null) => ({user, role, seat: number, mutes: [], nick: user, avatar: '', extra: '', away: false});

function hall() {
    return roomState({
        id: 'r', title: 'Hall', host: 'ann', admins: [], settings: {seats: 3, mode: 'request'}, info: {}, info_version: 0, likes: 0, online: 3,
        seats: [seat(0, 'ann'), seat(1), seat(2)], hands: [], invites: [],
    }, [person('ann', 'host', 0), person('bob', 'listener'), person('cem', 'listener')]);
}

const after = (...events) => events.reduce((state, [event, data]) => applied(state, event, data), hall());

test('who gets a seat has it, and his hand is down', () => {
    const state = after(['hand_raised', {user: 'bob', seat: null}], ['seat_taken', {user: 'bob', seat: 1, role: 'speaker', mutes: []}]);
    assert.equal(seatOf(state, 'bob'), 1);
    assert.equal(roleOf(state, 'bob'), 'speaker');
    assert.deepEqual(state.hands, []);
    assert.equal(state.people.get('bob').seat, 1);
});

test('a seat that is left is free, and a moved one takes its mutes along', () => {
    const state = after(
        ['seat_taken', {user: 'bob', seat: 1, role: 'speaker', mutes: []}],
        ['muted', {user: 'bob', source: 'host', mutes: ['host']}],
        ['seat_moved', {user: 'bob', from: 1, seat: 2}],
    );
    assert.deepEqual(state.seats.map(({user, mutes}) => [user, mutes.length]), [['ann', 0], [null, 0], ['bob', 1]]);
    const left = applied(state, 'seat_left', {user: 'bob', seat: 2, role: 'listener', reason: 'left'});
    assert.deepEqual(left.seats[2], seat(2));
    assert.deepEqual(left.people.get('bob').mutes, []);
});

test('an event that a newer view has already changes nothing of it', () => {
    const newer = after(
        ['seat_taken', {user: 'bob', seat: 2, role: 'speaker', mutes: ['self']}],
        ['seat_taken', {user: 'cem', seat: 1, role: 'speaker', mutes: []}],
    );
    assert.deepEqual(applied(newer, 'seat_moved', {user: 'bob', from: 1, seat: 2}).seats, newer.seats);
});

test('who leaves is gone from everywhere', () => {
    const state = after(
        ['hand_raised', {user: 'cem', seat: 2}],
        ['seat_taken', {user: 'bob', seat: 1, role: 'speaker', mutes: []}],
        ['attendee_left', {user: 'bob', reason: 'left'}],
        ['attendee_left', {user: 'cem', reason: 'left'}],
    );
    assert.deepEqual([state.seats[1].user, state.hands.length, state.online, [...state.people.keys()]], [null, 0, 1, ['ann']]);
    assert.equal(roleOf(state, 'bob'), 'stranger');
});

test('roles follow the host and the admins', () => {
    const state = after(['role_changed', {user: 'bob', role: 'admin'}]);
    assert.ok(leads(state, 'bob') && leads(state, 'ann') && !leads(state, 'cem'));
    const handed = applied(state, 'host_changed', {user: 'bob', before: 'ann', reason: 'handed over'});
    assert.equal(roleOf(handed, 'bob'), 'host');
    assert.equal(roleOf(handed, 'ann'), 'speaker');
    assert.ok(!leads(applied(handed, 'role_changed', {user: 'bob', role: 'listener'}), 'cem'));
});

test('values and settings change by what is told', () => {
    const state = after(
        ['room_info', {changed: {topic: 'tea', old: 'x'}, version: 1}],
        ['room_info', {changed: {old: null}, version: 2}],
        ['room_configured', {seats: 4, mode: 'free'}],
        ['seat_locked', {seat: 3}],
        ['liked', {user: 'bob', count: 2, likes: 7}],
        ['room_listed', {changed: {title: 'Tea'}}],
    );
    assert.deepEqual(state.info, {topic: 'tea'});
    assert.equal(state.seats.length, 4);
    assert.ok(state.seats[3].locked);
    assert.deepEqual([state.settings.mode, state.likes, state.title], ['free', 7, 'Tea']);
});

test('an event that it does not know changes nothing', () => {
    const state = hall();
    assert.equal(applied(state, 'something_new', {user: 'bob'}), state);
});
