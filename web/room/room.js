// The room: stage, bar of actions, and one panel at a time beside or over it.

import {h, icon, iconButton, set, text} from './dom.js';
import './chat.js';
import './music.js';
import './people.js';
import {Person} from './person.js';
import './settings.js';
import './stage.js';
import {sentence, t} from './words.js';

const PANELS = {chat: 'room-chat', music: 'room-music', people: 'room-people', settings: 'room-settings'};
const WARNING_MS = 6000;

class VoiceRoomScreen extends HTMLElement {
    #panel = null;
    #offs = [];
    #warning = '';
    #warningTimer = 0;
    #unread = 0;

    connectedCallback() {
        const {app} = this;
        const {room} = app;
        this.room = room;
        this.person = new Person(app, room);
        this.title_ = h('h1');
        this.count = h('span', {class: 'quiet'});
        this.signal = iconButton('signal', t('connection'), () => this.#toggle('settings'), {class: 'signal'});
        this.stage = h('room-stage');
        this.notice = h('p', {class: 'hint', role: 'status', hidden: true}, h('span', {class: 'grow'}),
            h('button', {onclick: () => app.try(() => room.useMicrophone())}, t('retry')));
        this.blocked = h('p', {class: 'hint', role: 'alert', hidden: true}, t('sound-blocked'),
            h('button', {class: 'primary', onclick: () => this.#play()}, t('sound-on')));
        this.invite = h('div', {class: 'hint', role: 'alert', hidden: true});
        this.hands = h('section', {class: 'hands card', 'aria-label': t('hands'), hidden: true});
        this.mic = h('button', {class: 'mic'});
        this.seat = h('button', {class: 'take'});
        this.likes = h('span', {class: 'badge'});
        const panelButton = (name, words) => iconButton(name === 'settings' ? 'gear' : name, t(words), () => this.#toggle(name), {'data-panel': name, 'aria-expanded': 'false'});
        this.bar = h('nav', {class: 'actions', 'aria-label': room.state.title},
            this.mic, this.seat,
            panelButton('chat', 'chat'), panelButton('music', 'music'), panelButton('people', 'people'),
            h('span', {class: 'liked'}, iconButton('heart', t('like'), () => app.try(() => room.like())), this.likes),
            panelButton('settings', 'settings'),
        );
        this.aside = h('aside', {hidden: true});
        this.replaceChildren(
            h('header', {class: 'bar'},
                h('div', {class: 'grow'}, this.title_, this.count),
                this.signal,
                h('button', {class: 'leave', 'aria-label': t('leave'), onclick: () => this.#leave()}, icon('leave'), h('span', {}, t('leave'))),
            ),
            h('div', {class: 'content'}, h('div', {class: 'middle'}, this.blocked, this.invite, this.notice, this.hands, this.stage), this.aside),
            this.bar,
        );
        this.stage.follow(app, room, this.person);
        this.#offs = [
            room.on('change', () => this.show()),
            room.on('message', () => this.#panel !== 'chat' && this.#count(this.#unread + 1)),
            room.media.on('people', () => this.stage.showLevels()),
            room.media.on('state', () => this.show()),
            room.media.on('warning', warning => this.#warn(warning)),
            room.media.on('blocked', () => {
                this.blocked.hidden = false;
            }),
            room.media.on('quality', quality => this.#showQuality(quality)),
        ];
        this.mic.onclick = () => app.try(() => room.mute(room.mutes.includes('self') === false));
        this.seat.onclick = () => app.try(() => this.#seatAction.act());
        onkeydown = event => this.#pressed(event);
        this.blocked.hidden = !room.media.blocked;
        this.show();
        if (matchMedia('(min-width: 60rem)').matches) this.#toggle('chat');
    }

    disconnectedCallback() {
        onkeydown = null;
        clearTimeout(this.#warningTimer);
        this.#offs.forEach(off => off());
        this.person.close();
    }

    show() {
        const {room} = this;
        if (!room.state) return;
        const {state} = room;
        text(this.title_, state.title);
        text(this.count, t('online', {count: state.online}));
        text(this.likes, state.likes ? String(state.likes) : '');
        this.#showMic();
        const action = this.#seatAction;
        this.seat.replaceChildren(icon(action.icon), h('span', {}, t(action.words)));
        set(this.seat, 'aria-label', t(action.words));
        this.seat.disabled = !action.act;
        this.#showHint();
        this.#showInvite();
        this.#showHands();
        this.stage.show();
        this.aside.firstChild?.show?.();
    }

    #showMic() {
        const {room} = this;
        const muted = room.mutes.length > 0;
        const lacks = room.microphoneProblem !== '';
        const words = t(lacks ? 'no-microphone' : room.mutes.includes('self') ? 'unmute' : 'mute');
        this.mic.hidden = room.seat === null;
        this.mic.disabled = lacks;
        this.mic.classList.toggle('muted', muted || lacks);
        set(this.mic, 'aria-pressed', String(muted));
        set(this.mic, 'aria-label', words);
        this.mic.replaceChildren(icon(muted || lacks ? 'muted' : 'microphone'), h('span', {}, words));
    }

    /** What the button of the seat does now. */
    get #seatAction() {
        const {room} = this;
        const {state, user} = room;
        if (room.seat !== null) return {icon: 'down', words: 'leave-seat', act: () => room.leaveSeat()};
        if (state.hands.some(hand => hand.user === user)) return {icon: 'hand', words: 'lower-hand', act: () => room.lowerHand()};
        if (state.settings.mode === 'free' || room.leads) return {icon: 'chair', words: 'take-seat', act: () => room.takeSeat()};
        if (state.settings.mode === 'request') return {icon: 'hand', words: 'raise-hand', act: () => room.requestSeat()};
        return {icon: 'chair', words: 'invitation', act: null};
    }

    #showHint() {
        const {room} = this;
        const raised = room.state.hands.some(({user}) => user === room.user);
        const {microphoneProblem: problem} = room;
        const words = room.media.state === 'reconnecting' ? t('media-reconnecting')
            : problem ? sentence({name: problem, message: t('microphone-problem')}) : this.#warning ? t(this.#warning) : raised ? t('hand-up') : '';
        const [span, retry] = this.notice.children;
        this.notice.hidden = !words;
        text(span, words);
        retry.hidden = !problem;
    }

    #showInvite() {
        const {room, app} = this;
        const {invite} = room;
        const key = invite ? `${invite.by} ${invite.seat}` : '';
        this.invite.hidden = !invite;
        if (this.invite.dataset.key === key) return;
        this.invite.dataset.key = key;
        this.invite.replaceChildren(...invite ? [
            h('span', {class: 'grow'}, t('invited', {name: invite.by})),
            h('button', {class: 'primary', onclick: () => app.try(() => room.answerInvite(true))}, t('accept')),
            h('button', {onclick: () => app.try(() => room.answerInvite(false))}, t('decline')),
        ] : []);
    }

    #showHands() {
        const {room, app} = this;
        const hands = room.leads ? room.state.hands : [];
        this.hands.hidden = !hands.length;
        const key = hands.map(({user}) => user).join('\n');
        if (this.hands.dataset.key === key) return;
        this.hands.dataset.key = key;
        this.hands.replaceChildren(h('h2', {}, t('hands')), ...hands.map(({user}) => h('div', {class: 'row'},
            h('strong', {class: 'grow'}, user),
            h('button', {class: 'primary', 'aria-label': `${t('approve')}: ${user}`, onclick: () => app.try(() => room.approve(user))}, t('approve')),
            h('button', {'aria-label': `${t('reject')}: ${user}`, onclick: () => app.try(() => room.reject(user))}, t('reject')),
        )));
    }

    #toggle(name) {
        const opens = this.#panel !== name;
        this.#panel = opens ? name : null;
        for (const button of this.bar.querySelectorAll('[data-panel]')) set(button, 'aria-expanded', String(button.dataset.panel === this.#panel));
        this.aside.hidden = !opens;
        this.aside.replaceChildren();
        if (!opens) return;
        const panel = h(PANELS[name], {class: 'panel'});
        panel.follow(this.app, this.room, {person: this.person, close: () => this.#toggle(name), quality: this.quality});
        this.aside.append(panel);
        if (name === 'chat') this.#count(0);
    }

    #count(unread) {
        this.#unread = unread;
        const button = this.bar.querySelector('[data-panel=chat]');
        set(button, 'data-unread', unread ? String(Math.min(unread, 99)) : null);
    }

    #warn(warning) {
        clearTimeout(this.#warningTimer);
        this.#warning = warning;
        if (warning.startsWith('talking')) this.#warningTimer = setTimeout(() => this.#warn(''), WARNING_MS);
        this.#showHint();
    }

    #showQuality(quality) {
        this.quality = quality;
        set(this.signal, 'data-quality', quality.level);
        const label = `${t('connection')}: ${t(quality.level)}`;
        set(this.signal, 'aria-label', label);
        set(this.signal, 'title', label);
        this.aside.firstChild?.showQuality?.(quality);
    }

    /** M mutes, Escape closes the panel. */
    #pressed(event) {
        if (event.target.closest('input, select, textarea, dialog') || event.ctrlKey || event.metaKey || event.altKey) return;
        if (event.key === 'm' && this.room.seat !== null) this.mic.click();
        if (event.key === 'Escape' && this.#panel) this.#toggle(this.#panel);
    }

    async #play() {
        this.blocked.hidden = true;
        await this.room.media.play();
    }

    async #leave() {
        const {room, app} = this;
        if (room.role !== 'host') return app.leave();
        const choice = await this.person.ask(t('sure-dismiss'), [['dismiss', t('dismiss')], ['leave', t('leave')]]);
        if (choice === 'dismiss') await app.try(() => room.dismiss());
        if (choice === 'leave') await app.leave();
    }
}

customElements.define('voice-room', VoiceRoomScreen);
