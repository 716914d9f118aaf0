import {parseAddress} from './address.js';
import {Emitter} from './emitter.js';
import {request} from './http.js';
import {Session} from './session.js';

// How often levels come while somebody speaks; rings move that often.
const LEVELS_EVERY_MS = 100;
const CSRCS_EVERY_MS = 200;
// A CSRC counts as heard for so long after its last packet.
const RECENT_MS = 500;
const EVENTS = ['sources', 'levels', 'players', 'muted-speech', 'microphone', 'moved', 'moving'];

/** What is heard of a room, and the media server's events about it (docs/protocol.md).
 *
 * Events: `ended` ('closed' by the server, or 'lost'), `changed`, `blocked` (the browser wants a gesture before there is
 * sound: play() from it), `heard` (CSRCs), and those of the server, with their data. */
export class Listener extends Emitter {
    blocked = false;  // until play() comes from a gesture
    slots = [];  // {receiver, stream, csrcs}; a mix has one, with all who are heard in it
    #session = null;
    #events = null;
    #players = [];
    #poll = 0;
    #volume = 1;
    #sink = '';

    get connected() {
        return this.#session?.connected ?? false;
    }

    get connection() {
        return this.#session?.connection;
    }

    /** Of the session, at the server. */
    get url() {
        return this.#session?.url;
    }

    /** mode: 'mix', or 'select' with so many slots. Refusal, Unreachable. */
    async open(address, {mode = 'mix', slots = 4} = {}) {
        const {url, token} = parseAddress(address);
        const session = this.#session = new Session(token, reason => this.#ended(session, reason), () => this.emit('changed'));
        this.slots = Array.from({length: mode === 'mix' ? 1 : slots}, () => {
            const {receiver} = session.connection.addTransceiver('audio', {direction: 'recvonly'});
            return {receiver, stream: new MediaStream([receiver.track]), csrcs: []};
        });
        const endpoint = new URL(url);
        endpoint.searchParams.set('mode', mode);
        await session.open(endpoint.href);
        if (session !== this.#session) return;  // closed meanwhile
        this.#poll = setInterval(() => this.#readCsrcs(), CSRCS_EVERY_MS);
        if (session.eventsUrl) await this.#subscribe(session.eventsUrl, token);
        await this.play();
    }

    /** An audio element for each slot. */
    async play() {
        this.#players = this.slots.map(({stream}, i) => {
            const player = this.#players[i] ?? new Audio();
            if (player.srcObject !== stream) player.srcObject = stream;
            player.volume = this.#volume;
            return player;
        });
        await this.#useSink().catch(() => {});  // one that is gone: the system's then
        const results = await Promise.allSettled(this.#players.map(player => player.play()));
        this.blocked = results.some(({reason}) => reason?.name === 'NotAllowedError');
        if (this.blocked) this.emit('blocked');
    }

    /** Of everything, 0 to 1. */
    set volume(volume) {
        this.#volume = Math.min(1, Math.max(0, volume));
        for (const player of this.#players) player.volume = this.#volume;
    }

    get volume() {
        return this.#volume;
    }

    /** The output device by its id; '' is the system's. Browsers without a choice of outputs ignore it. */
    async use(deviceId) {
        this.#sink = deviceId;
        await this.#useSink();
    }

    restartIce() {
        return this.#session?.restartIce();
    }

    async close(options) {
        const session = this.#session;
        this.#stop();
        await session?.close(options);
    }

    async #useSink() {
        await Promise.all(this.#players.map(player => player.setSinkId?.(this.#sink)));
    }

    /** The WHEP draft's extension: asks for the events by POST, gets the address of the stream. */
    async #subscribe(url, token) {
        const headers = {'Content-Type': 'application/json'};
        const body = JSON.stringify({events: EVENTS, levels_every_ms: LEVELS_EVERY_MS});
        const response = await request(url, token, {method: 'POST', headers, body});
        if (!this.#session) return;
        this.#events = new EventSource(new URL(response.headers.get('Location'), response.url));
        for (const name of EVENTS) {
            this.#events.addEventListener(name, ({data}) => this.emit(name, JSON.parse(data)));
        }
    }

    /** Who is heard in which slot: the CSRCs of the packets that are being played. */
    #readCsrcs() {
        const now = performance.timeOrigin + performance.now();
        for (const slot of this.slots) {
            slot.csrcs = slot.receiver.getContributingSources()
                .filter(({timestamp}) => now - timestamp < RECENT_MS).map(({source}) => source);
        }
        this.emit('heard', new Set(this.slots.flatMap(({csrcs}) => csrcs)));
    }

    #ended(session, reason) {
        if (session !== this.#session) return;
        this.#stop();
        this.emit('ended', reason);
    }

    #stop() {
        clearInterval(this.#poll);
        this.#events?.close();
        for (const player of this.#players) player.srcObject = null;
        Object.assign(this, {slots: []});
        this.#session = this.#events = null;
    }
}
