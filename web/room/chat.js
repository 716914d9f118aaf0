import {h, iconButton, list, text} from './dom.js';
import {language, t} from './words.js';

const LONGEST = 1000;

/** What was written in the room. */
class RoomChat extends HTMLElement {
    #list = h('ol');
    #messages = h('div', {class: 'messages', role: 'log', 'aria-label': t('chat'), tabindex: 0}, this.#list);
    #empty = h('p', {class: 'empty'}, t('no-messages'));

    follow(app, room, {close}) {
        Object.assign(this, {app, room});
        const words = h('input', {name: 'words', maxlength: LONGEST, placeholder: t('message'), 'aria-label': t('message'), autocomplete: 'off'});
        const form = h('form', {class: 'write'}, words, iconButton('send', t('send'), undefined, {class: 'primary', type: 'submit'}));
        form.onsubmit = async event => {
            event.preventDefault();
            const said = words.value.trim();
            if (!said) return;
            words.value = '';
            const sent = await app.try(() => room.sendMessage(said));
            if (!sent) words.value = said;
        };
        this.replaceChildren(
            h('header', {class: 'bar'}, h('h2', {class: 'grow'}, t('chat')), iconButton('close', t('close'), close)),
            this.#empty, this.#messages, form,
        );
        this.show();
    }

    show() {
        const {room} = this;
        const atEnd = this.#messages.scrollHeight - this.#messages.scrollTop - this.#messages.clientHeight < 40;
        this.#empty.hidden = room.messages.length > 0;
        list(this.#list, room.messages, ({id}) => id, ({by, at}) => h('li', {class: by === room.user ? 'own' : null},
            h('span', {class: 'quiet'}, h('strong', {}, by), ' ', h('time', {}, new Date(1000 * at).toLocaleTimeString(language, {hour: '2-digit', minute: '2-digit'}))),
            h('p'),
        ), (item, {id, by, data, recalled}) => {
            text(item.lastChild.matches('p') ? item.lastChild : item.querySelector('p'), recalled ? t('recalled') : data.text ?? '');
            item.classList.toggle('recalled', Boolean(recalled));
            const mayRecall = !recalled && (by === room.user || room.leads);
            const button = item.querySelector('button');
            if (mayRecall && !button) item.firstChild.append(h('button', {class: 'link', onclick: () => this.app.try(() => room.recallMessage(id))}, t('recall')));
            if (!mayRecall) button?.remove();
        });
        if (atEnd) this.#messages.scrollTop = this.#messages.scrollHeight;
    }
}

customElements.define('room-chat', RoomChat);
