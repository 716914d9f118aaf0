import {face, h, iconButton, list, text} from './dom.js';
import {t} from './words.js';

const RANK = {host: 0, admin: 1, speaker: 2, listener: 3};

/** Who is here. */
class RoomPeople extends HTMLElement {
    #people = h('ul', {class: 'people'});

    follow(app, room, {person, close}) {
        Object.assign(this, {app, room, person});
        this.replaceChildren(
            h('header', {class: 'bar'}, h('h2', {class: 'grow'}, t('people')), iconButton('close', t('close'), close)),
            this.#people,
        );
        this.show();
    }

    show() {
        const {room} = this;
        const role = ({user}) => user === room.state.host ? 'host' : room.state.admins.includes(user) ? 'admin'
            : room.state.seats.some(seat => seat.user === user) ? 'speaker' : 'listener';
        const people = [...room.state.people.values()].sort((a, b) => RANK[role(a)] - RANK[role(b)]);
        list(this.#people, people, ({user}) => user, ({user, nick}) => {
            const picture = h('span', {class: 'face small', 'aria-hidden': 'true'});
            face(picture, nick || user);
            return h('li', {}, h('button', {class: 'person', onclick: () => this.person.open(user)}, picture, h('strong', {class: 'grow'}), h('span', {class: 'quiet'})));
        }, (item, person) => {
            const [, name, note] = item.firstChild.children;
            const shown = person.nick || person.user;
            text(name, person.user === room.user ? t('you', {name: shown}) : shown);
            text(note, person.away ? t('is-away') : t(role(person)));
        });
    }
}

customElements.define('room-people', RoomPeople);
