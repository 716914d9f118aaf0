import {face, h, icon, list, set, text} from './dom.js';
import {t} from './words.js';

// A ring is full at -15 dBov and gone at -60.
const QUIET_DBOV = -60, SPAN_DB = 45;

/** The seats: the host's first and larger, the others on a grid. Rings follow real levels. */
class RoomStage extends HTMLElement {
    #host = h('div', {class: 'host-seat'});
    #seats = h('div', {class: 'seats'});

    follow(app, room, person) {
        Object.assign(this, {app, room, person});
        this.replaceChildren(this.#host, this.#seats);
        this.show();
    }

    show() {
        const {room} = this;
        const {state} = room;
        const hosts = state.seats.find(({user}) => user === state.host);
        const make = ({seat}) => h('button', {class: 'seat', onclick: () => this.person.openSeat(seat)},
            h('span', {class: 'face', 'aria-hidden': 'true'}), h('span', {class: 'name'}), h('span', {class: 'note quiet'}), h('span', {class: 'unseen'}));
        list(this.#host, hosts ? [hosts] : [], ({seat}) => seat, make, (element, seat) => this.#showSeat(element, seat));
        list(this.#seats, state.seats.filter(seat => seat !== hosts), ({seat}) => seat, make, (element, seat) => this.#showSeat(element, seat));
        this.showLevels();
    }

    showLevels() {
        const {room} = this;
        const heard = room.media?.people ?? new Map();
        for (const element of this.querySelectorAll('.seat[data-user]')) {
            const {level = -127, speaking = false} = heard.get(element.dataset.user) ?? {};
            const muted = element.classList.contains('muted');
            element.classList.toggle('speaking', speaking && !muted);
            element.style.setProperty('--level', muted ? 0 : Math.min(1, Math.max(0, (level - QUIET_DBOV) / SPAN_DB)).toFixed(2));
            this.#label(element, speaking && !muted);
        }
    }

    #showSeat(element, {seat, user, locked, mutes}) {
        const {state} = this.room;
        const [picture, name, note, unseen] = element.children;
        const person = state.people.get(user);
        set(element, 'data-user', user);
        element.classList.toggle('free', user === null);
        element.classList.toggle('muted', mutes.length > 0);
        element.classList.toggle('away', person?.away ?? false);
        element.classList.toggle('me', user === this.room.user);
        if (user === null) {
            delete picture.dataset.initials;
            picture.replaceChildren(icon(locked ? 'lock' : 'plus'));
            text(name, String(seat + 1));
            text(note, '');
            text(unseen, t(locked ? 'is-locked' : 'is-free'));
            return;
        }
        const shown = person?.nick || user;
        face(picture, shown);
        picture.replaceChildren(...mutes.length ? [h('span', {class: 'mark'}, icon('muted'))] : []);
        text(name, shown);
        text(note, this.#note(user, mutes, person));
        element.dataset.seat = seat + 1;
    }

    #note(user, mutes, person) {
        const {state} = this.room;
        if (person?.away) return t('is-away');
        const source = ['host', 'system', 'self'].find(one => mutes.includes(one));
        if (source) return t(`muted-${source}`);
        const role = user === state.host ? t('host') : state.admins.includes(user) ? t('admin') : '';
        return [role, user === this.room.user ? t('that-is-you') : ''].filter(Boolean).join(' · ');
    }

    #label(element, speaking) {
        const state = element.classList.contains('muted') ? t('is-muted') : speaking ? t('speaking') : '';
        text(element.lastChild, t('taken-seat', {state, seat: element.dataset.seat}));
    }
}

customElements.define('room-stage', RoomStage);
