// The voice-room page: plain web components over the SDK, each its own file.
//
//   voice-app     who is logged in, which screen is shown, what is told to everybody (this file)
//   <voice-login> <voice-lobby> <voice-room> screens; <call-bar> a call, above whatever screen there is

import {Account, Calls, RpcError, Signaling, VoiceRoom} from '/sdk/index.js';
import './call.js';
import {h, text} from './dom.js';
import './lobby.js';
import './login.js';
import './room.js';
import {language, other, sentence, t, useLanguage} from './words.js';

const NOTICE_MS = 6000;

class VoiceApp extends HTMLElement {
    account = new Account({store: sessionStorage});
    signaling = null;
    calls = null;
    room = null;  // a VoiceRoom
    #screen = null;
    #notices = h('div', {class: 'notices', role: 'status', 'aria-live': 'polite'});
    #banner = h('p', {class: 'banner', role: 'alert', hidden: true});
    #main = h('main');
    #call = h('call-bar', {hidden: true});

    connectedCallback() {
        useLanguage(language);
        this.append(this.#banner, this.#call, this.#main, this.#notices);
        this.#call.app = this;
        addEventListener('pagehide', () => {
            this.room?.abandon();
            this.calls?.current?.media?.close({keepalive: true});
        });
        addEventListener('hashchange', () => this.#follow());
        if (this.account.user) this.start();
        else this.#show(h('voice-login'));
    }

    switchLanguage() {
        useLanguage(other());
        this.#screen?.remove();
        if (this.room) this.#show(h('voice-room'));
        else if (this.signaling) this.#show(h('voice-lobby'));
        else this.#show(h('voice-login'));
        this.#call.show();
    }

    async logIn(name, password) {
        await this.account.logIn(name, password);
        await this.start();
    }

    async logOut() {
        await this.leave();
        this.signaling.close();
        this.signaling = null;
        await this.account.logOut();
        this.#show(h('voice-login'));
    }

    /** After a login: the socket, calls, and the room that the address names. */
    async start() {
        this.#show(h('p', {class: 'loading'}, t('loading')));
        const signaling = this.signaling = new Signaling({token: () => this.account.token()});
        signaling.on('state', state => this.#bannerOf(state));
        signaling.on('closed', reason => this.#loggedOut(reason));
        try {
            await signaling.connect();
        } catch (error) {
            if (error instanceof RpcError) return;  // `closed` has told
            throw error;
        }
        this.calls = new Calls(signaling);
        this.#call.follow(this.calls);
        this.calls.resume().catch(() => {});
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
        room.on('media-problem', error => this.tell(sentence(error), {bad: true}));
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
        if (reason !== 'left') this.tell(t(`ended-${reason}`), {bad: reason !== 'dismissed'});
        this.#lobby();
    }

    #lobby() {
        history.replaceState(null, '', location.pathname + location.search);
        this.#show(h('voice-lobby'));
    }

    async #follow() {
        const room = decodeURIComponent(location.hash.slice(1));
        if (!this.signaling) return;
        if (room && room !== this.room?.id) await this.enter(room);
        else if (!room && !this.room) this.#show(h('voice-lobby'));
    }

    #bannerOf(state) {
        this.#banner.hidden = state !== 'reconnecting';
        text(this.#banner, t('reconnecting'));
    }

    #loggedOut(reason) {
        this.signaling = null;
        this.room = null;
        this.account.logOut();
        this.#banner.hidden = true;
        this.tell(t(`ended-${reason}`), {bad: true});
        this.#show(h('voice-login'));
    }

    #show(screen) {
        screen.app = this;
        this.#screen = screen;
        this.#main.replaceChildren(screen);
        this.toggleAttribute('inside', screen.localName === 'voice-room');
    }
}

customElements.define('voice-app', VoiceApp);
