// What a client knows of a room: the room service's view, and what its events change in it. Pure.
//
//   view   as get_room answers        people   Map user -> as get_attendee_list has him

/** The state of a room that was just entered. Its attendees may be a page of many, whoever asks is among its people: as the
    view's `own`, if he is in the room. */
export function roomState({own, ...view}, attendees) {
    const people = new Map(attendees.map(attendee => [attendee.user, attendee]));
    if (own) people.set(own.user, own);
    return {...view, people};
}

/** The state after an event of the room's stream. The same object when the event changes nothing of it. */
export function applied(state, event, data) {
    const change = CHANGES[event];
    return change ? {...state, ...change(state, data)} : state;
}

/** host, admin, speaker, listener, or stranger. */
export function roleOf(state, user) {
    if (!state.people.has(user)) return 'stranger';
    if (user === state.host) return 'host';
    if (state.admins.includes(user)) return 'admin';
    return seatOf(state, user) === null ? 'listener' : 'speaker';
}

export function seatOf(state, user) {
    return state.seats.find(seat => seat.user === user)?.seat ?? null;
}

export const leads = (state, user) => ['host', 'admin'].includes(roleOf(state, user));

const CHANGES = {
    room_listed: (state, {changed}) => changed,
    room_configured: (state, {seats, mode}) => ({
        settings: {...state.settings, seats, mode},
        seats: Array.from({length: seats}, (_, seat) => state.seats[seat] ?? {seat, user: null, locked: false, mutes: []}),
    }),
    room_info: (state, {changed, version}) => ({
        info: Object.fromEntries(Object.entries({...state.info, ...changed}).filter(([, value]) => value !== null)),
        info_version: version,
    }),
    room_dismissed: () => ({status: 2, seats: [], hands: [], invites: [], people: new Map()}),
    host_changed: (state, {user}) => ({host: user, admins: without(state.admins, user), ...person(state, state.host, {role: 'speaker'}), host_gone_until: null}),
    role_changed: (state, {user, role}) => ({
        admins: role === 'admin' ? [...without(state.admins, user), user] : without(state.admins, user),
        ...person(state, user, {role}),
    }),
    attendee_entered: (state, {user, role, nick = '', avatar = '', extra = ''}) => ({
        people: new Map(state.people).set(user, {user, role, nick, avatar, extra, seat: null, mutes: [], away: false}),
        online: state.online + (state.people.has(user) ? 0 : 1),
    }),
    attendee_left: (state, {user}) => {
        const people = new Map(state.people);
        const known = people.delete(user);
        return {
            people,
            online: known ? state.online - 1 : state.online,
            seats: state.seats.map(seat => seat.user === user ? {...seat, user: null, mutes: []} : seat),
            hands: state.hands.filter(hand => hand.user !== user),
            invites: state.invites.filter(invite => invite.user !== user),
        };
    },
    attendee_lost: (state, {user}) => person(state, user, {away: true}),
    attendee_back: (state, {user}) => person(state, user, {away: false}),
    user_info: (state, {user, changed, version}) => person(state, user, {...changed, version}),
    seat_taken: (state, {user, seat, role, mutes = []}) => ({
        ...person(state, user, {seat, role, mutes}),
        ...seats(state, seat, {user, mutes}),
        hands: state.hands.filter(hand => hand.user !== user),
        invites: state.invites.filter(invite => invite.user !== user),
    }),
    seat_left: (state, {user, seat, role}) => ({
        ...person(state, user, {seat: null, role, mutes: []}),
        ...seats(state, seat, {user: null, mutes: []}),
    }),
    seat_moved: (state, {user, from, seat}) => {
        if (state.seats[from].user !== user) return {};  // a view that is newer has it already
        const {mutes} = state.seats[from];
        const after = seats(state, from, {user: null, mutes: []});
        return {...person(state, user, {seat}), ...seats({...state, ...after}, seat, {user, mutes})};
    },
    seat_locked: (state, {seat}) => seats(state, seat, {locked: true}),
    seat_unlocked: (state, {seat}) => seats(state, seat, {locked: false}),
    muted: (state, {user, mutes}) => muted(state, user, mutes),
    unmuted: (state, {user, mutes}) => muted(state, user, mutes),
    hand_raised: (state, {user, seat}) => ({
        hands: [...state.hands.filter(hand => hand.user !== user), {user, seat, raised_at: Date.now() / 1000}],
    }),
    hand_lowered: (state, {user}) => ({hands: state.hands.filter(hand => hand.user !== user)}),
    liked: (state, {likes}) => ({likes}),
};

const without = (list, user) => list.filter(other => other !== user);

function person(state, user, changed) {
    const known = state.people.get(user);
    return known ? {people: new Map(state.people).set(user, {...known, ...changed})} : {};
}

function seats(state, number, changed) {
    return {seats: state.seats.map(seat => seat.seat === number ? {...seat, ...changed} : seat)};
}

function muted(state, user, mutes) {
    return {
        ...person(state, user, {mutes}),
        seats: state.seats.map(seat => seat.user === user ? {...seat, mutes} : seat),
    };
}
