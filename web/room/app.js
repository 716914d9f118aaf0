// The voice-room page: plain web components over the SDK, each its own file.
//
//   voice-app     who is logged in, which screen is shown, what is told to everybody (this file)
//   <voice-login> <voice-lobby> <voice-room> <voice-elsewhere> screens; <connection-banner> and <call-bar> above them

import {Account, Calls, MicrophoneError, Signaling, VoiceRoom} from '/sdk/index.js';
import './banner.js';
import './call.js';
import {h} from './dom.js';
import './elsewhere.js';
import {deviceOfBrowser, KeptLogin} from './kept-login.js';
import './lobby.js';
import './login.js';
import {Ringing} from './push.js';
import './room.js';
import {language, other, sentence, t, useLanguage} from './words.js';

const NOTICE_MS = 6000;
const KEPT = 'voicerooms.account';

class VoiceApp extends HTMLElement {
    #kept = new KeptLogin(KEPT);
    account = new Account({store: this.#kept, key: KEPT});
    ringing = new Ringing(this.#kept);
    signaling = null;
    calls = null;
    room = null;  // a VoiceRoom
    #screen = null;
    #notices = h('div', {class: 'notices', role: 'status', 'aria-live': 'polite'});
    #banner = h('connection-banner');
    #main = h('main');
    #call = h('call-bar', {hidden: true});

    connectedCallback() {
        useLanguage(language);
        this.append(this.#banner, this.#call, this.#main, this.#notices);
        this.#call.app = this;
        addEventListener('pagehide', () => {
            this.room?.abandon();
            this.#call.current?.media?.close({keepalive: true});
        });
        addEventListener('hashchange', () => this.#follow());
        if (this.account.user) this.start();
        else this.#show(h('voice-login'));
    }

    switchLanguage() {
        useLanguage(other());
        this.ringing.speak();
        this.#banner.show();
        this.#call.show();
        this.#show(h(this.#screen.localName));
    }

    async logIn(name, password) {
        await this.account.logIn(name, password, {device_id: deviceOfBrowser()});
        await this.start();
    }

    async logOut() {
        await this.leave();
        await this.ringing.turnOff().catch(() => {});  // a browser that cannot is no reason to stay logged in
        this.signaling.close();
        this.#gone();
        await this.account.logOut();
        this.#show(h('voice-login'));
    }

    /** Another name shall be here; the device that has this one's place stays logged in. */
    askName() {
        this.#show(h('voice-login'));
    }

    /** After a login: the socket, calls, and the room that the address names. */
    async start() {
        this.#show(h('p', {class: 'loading'}, t('loading')));
        const signaling = this.signaling = new Signaling({token: () => this.account.token()});
        signaling.on('closed', reason => this.#closed(reason));
        this.#banner.follow(signaling);
        try {
            await signaling.connect();
        } catch (error) {
            if (this.signaling !== signaling) return;  // `closed` has told
            throw error;
        }
        this.calls = new Calls(signaling);
        this.#call.follow(this.calls);
        this.calls.resume().catch(() => {});
        this.ringing.start(signaling).catch(error => this.tell(sentence(error), {bad: true}));
        await this.#follow();
    }

    async enter(room) {
        if (this.room) await this.room.leave();
        const entered = new VoiceRoom(this.signaling);
        await this.#inside(entered, () => entered.enter(room, {nick: this.account.user}));
    }

    async open(wishes) {
        const entered = new VoiceRoom(this.signaling);
        await this.#inside(entered, async () => {
            const made = await this.signaling.call('create_room', wishes);
            await entered.enter(made.id, {nick: this.account.user});
        });
    }

    async leave() {
        await this.room?.leave();
    }

    /** Something that everybody can read for a while. */
    tell(words, {bad = false} = {}) {
        const notice = h('p', {class: bad ? 'notice bad' : 'notice'}, words);
        this.#notices.append(notice);
        setTimeout(() => notice.remove(), NOTICE_MS);
    }

    /** Does what a button asks for, and tells when it cannot be done. */
    async try(action) {
        try {
            return await action();
        } catch (error) {
            this.tell(sentence(error), {bad: true});
            return undefined;
        }
    }

    async #inside(room, enter) {
        this.room = room;
        room.on('ended', ({reason}) => this.#ended(room, reason));
        room.on('media-problem', error => error instanceof MicrophoneError || this.tell(sentence(error), {bad: true}));  // the room tells that one while it lasts
        this.#show(h('p', {class: 'loading'}, t('loading')));
        try {
            await enter();
        } catch (error) {
            if (this.room !== room) return;  // `ended` has told
            this.room = null;
            await room.leave();
            this.tell(sentence(error), {bad: true});
            this.#lobby();
            return;
        }
        if (this.room !== room) return;
        history.replaceState(null, '', `#${encodeURIComponent(room.id)}`);
        this.#show(h('voice-room'));
    }

    #ended(room, reason) {
        if (this.room !== room) return;
        this.room = null;
        if (reason !== 'left') this.tell(t(`ended-${reason}`), {bad: !['dismissed', 'host-gone'].includes(reason)});
        this.#lobby();
    }

    #lobby() {
        history.replaceState(null, '', location.pathname + location.search);
        this.#show(h('voice-lobby'));
    }

    async #follow() {
        const room = roomOfAddress();
        if (!this.signaling) return;
        if (room && room !== this.room?.id) await this.enter(room);
        else if (!room && !this.room) this.#show(h('voice-lobby'));
    }

    /** The address keeps the room: who goes on, or logs in again, is back in it. */
    #closed(reason) {
        this.#gone();
        if (reason === 'replaced') return this.#show(h('voice-elsewhere'));
        this.account.forget();
        this.#show(Object.assign(h('voice-login'), {problem: 'ended-unauthorised'}));
    }

    #gone() {
        this.signaling = null;
        this.room = null;
        this.#banner.follow(null);
        this.#call.follow(null);
    }

    #show(screen) {
        screen.app = this;
        this.#screen = screen;
        this.#main.replaceChildren(screen);
        this.toggleAttribute('inside', screen.localName === 'voice-room');
    }
}

/** What is no escape in the address is taken as it stands: there is no such room, and the page says so. */
function roomOfAddress() {
    const hash = location.hash.slice(1);
    try {
        return decodeURIComponent(hash);
    } catch {
        return hash;
    }
}

customElements.define('voice-app', VoiceApp);
