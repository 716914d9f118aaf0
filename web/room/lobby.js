import {face, h, icon, list, text} from './dom.js';
import {ringChoice} from './push.js';
import {sentence, t} from './words.js';

const EVERY_MS = 3000;
const STARTED = 1, ENDED = 2;

/** The rooms there are, and who has a seat in them. */
class VoiceLobby extends HTMLElement {
    #timer = 0;
    #rooms = h('ul', {class: 'rooms'});
    #note = h('p', {class: 'empty', role: 'status'}, t('loading'));
    #retry = h('button', {onclick: () => this.refresh()}, t('retry'));
    #search = h('input', {type: 'search', placeholder: t('search'), 'aria-label': t('search')});

    connectedCallback() {
        const {app} = this;
        this.#search.oninput = () => this.refresh();
        this.replaceChildren(
            h('header', {class: 'bar'},
                h('h1', {}, t('lobby')),
                h('span', {class: 'grow'}),
                h('button', {class: 'link', onclick: () => app.switchLanguage()}, t('language')),
                h('button', {onclick: () => app.querySelector('call-bar').ask()}, icon('phone'), t('call')),
                h('button', {onclick: () => app.logOut()}, t('logout')),
            ),
            h('div', {class: 'tools'},
                this.#search,
                h('button', {class: 'primary', onclick: () => this.#make()}, icon('plus'), t('new-room')),
            ),
            this.#note, this.#retry, this.#rooms, ringChoice(app),
        );
        this.#retry.hidden = true;
        this.refresh();
    }

    disconnectedCallback() {
        clearTimeout(this.#timer);
    }

    async refresh() {
        clearTimeout(this.#timer);
        const search = this.#search.value.trim();
        try {
            const {rooms} = await this.app.signaling.call('get_room_list', search ? {search} : {});
            if (search === this.#search.value.trim()) this.#show(rooms.filter(({status}) => status !== ENDED), search);
        } catch (error) {
            if (!this.#rooms.childElementCount) this.#tell(sentence(error), true);  // what is shown is better than nothing
        }
        if (this.isConnected) this.#timer = setTimeout(() => this.refresh(), EVERY_MS);
    }

    #show(rooms, search) {
        this.#tell(rooms.length ? '' : t(search ? 'nothing-found' : 'no-rooms'));
        list(this.#rooms, rooms, ({id}) => id, room => {
            const open = h('button', {class: 'card room', onclick: () => this.app.enter(room.id)},
                h('strong'), h('span', {class: 'quiet by'}), h('span', {class: 'faces', 'aria-hidden': 'true'}), h('span', {class: 'quiet count'}), h('span', {class: 'talk'}));
            return h('li', {}, open);
        }, (item, room) => {
            const [open] = item.children;
            const [title, by, faces, count, talk] = open.children;
            open.setAttribute('aria-label', t('open-room', {title: room.title, count: room.online}));
            open.classList.toggle('started', room.status === STARTED);
            text(title, room.title);
            text(by, t('by-host', {host: room.host}));
            text(count, t('online', {count: room.online}));
            list(faces, room.seats.filter(({user}) => user !== null), ({user}) => user,
                ({user}) => {
                    const one = h('span', {class: 'face small'});
                    face(one, user);
                    return one;
                }, (one, {user, mutes}) => {
                    one.classList.toggle('muted', mutes.length > 0);
                    one.classList.toggle('talking', room.talking.includes(user));
                });
            text(talk, room.talking.length ? t('talking-now', {names: room.talking.slice(0, 3).join(', ')}) : '');
        });
    }

    #tell(words, failed = false) {
        text(this.#note, words);
        this.#note.hidden = !words;
        this.#retry.hidden = !failed;
    }

    #make() {
        const title = h('input', {name: 'title', required: true, maxlength: 100});
        const modes = ['request', 'free', 'invitation'].map((mode, i) => h('label', {class: 'choice'},
            h('input', {type: 'radio', name: 'mode', value: mode, checked: i === 0}), t(mode)));
        const dialog = h('dialog', {'aria-label': t('new-room')}, h('form', {method: 'dialog'},
            h('h2', {}, t('new-room')),
            h('label', {}, t('room-title'), title),
            h('fieldset', {}, h('legend', {}, t('seat-mode')), ...modes),
            h('menu', {},
                h('button', {type: 'button', onclick: () => dialog.close()}, t('cancel')),
                h('button', {class: 'primary', value: 'create'}, t('create')),
            ),
        ));
        dialog.onclose = () => {
            const {mode} = Object.fromEntries(new FormData(dialog.firstChild));
            if (dialog.returnValue === 'create') this.app.open({title: title.value.trim(), settings: {mode}});
            dialog.remove();
        };
        this.append(dialog);
        dialog.showModal();
    }
}

customElements.define('voice-lobby', VoiceLobby);
