import {parseAddress, roomOf} from './address.js';
import {backoff, pause} from './backoff.js';
import {Delays, DELAYS_EVERY_MS} from './delays.js';
import {Emitter} from './emitter.js';
import {Refusal, passes, request} from './http.js';
import {Listener} from './listener.js';
import {Publisher} from './publisher.js';
import {quality, statistics} from './statistics.js';

const QUALITY_EVERY_MS = 2000;
const QUIET = {level: -127, speaking: false, heard: false};

/** One person's sound in one room: what he hears (WHEP), and what he says (WHIP) while he may.
 *
 * It keeps itself connected: ICE restarts when the network changes, new sessions after the server was restarted, with
 * back-off. It ends when the server refuses, or somebody else took its place.
 *
 * Events
 * - `state`: 'closed', 'connecting', 'connected' or 'reconnecting'
 * - `people`: `people` has changed: who has a seat, who is connected and muted, by whom, how loud he is
 * - `players`: what the room plays
 * - `published`, `unpublished` (reason): whether the microphone is sent
 * - `warning`: 'silent', 'clipping', 'talking-muted', 'talking-muted-by-host', or '' when it is over
 * - `moved` (room): the room service took us to another room, over the connections that there are
 * - `moving`: the server is about to restart
 * - `blocked`: the browser wants a gesture before there is sound: call play() from one
 * - `quality`: {level: 'good'|'fair'|'poor'|'unknown', and the numbers of statistics.js}, every 2 s
 * - `ended` (reason): it is over: 'refused' with `problem`, or 'microphone' for who only published
 */
export class Media extends Emitter {
    state = 'closed';
    people = new Map();  // user -> {user, csrc, may_publish, muted_by, publishing, level: dBov, speaking, heard}
    players = [];        // {player, status, track, title, artist, position_ms, duration_ms, at, received: when, in s}
    musicVolume = 0;  // as it was set here
    publisher = null;
    listener = null;
    #addresses;
    #options;
    #timers = [];
    #room = {};
    #token = '';
    #wishes = new Map();
    #turn = 0;

    /** `addresses(why)`: {whep, whip, capture?} for now; whip is '' for who may not speak. It is asked for before each
        connection, as tokens expire; `why` is 'open', or how the one before ended: 'closed' by the server (which stops, or
        has removed us, or somebody else came in our name), or 'lost'. A Refusal ends it, any other error is tried again.
        `mode`: 'mix', or 'select' with `slots`. */
    constructor({addresses, mode = 'mix', slots = 4}) {
        super();
        this.#addresses = addresses;
        this.#options = {mode, slots};
        this.online = () => this.restartIce();
    }

    /** Listens; with `microphone` also speaks: true, constraints of getUserMedia(), or a MediaStream. Refusal,
        Unreachable, MicrophoneError: then it is closed. */
    async open({microphone = null} = {}) {
        const turn = ++this.#turn;
        this.#become('connecting');
        addEventListener('online', this.online);
        navigator.connection?.addEventListener?.('change', this.online);
        try {
            const addresses = await this.#ask('open');
            await Promise.all([this.#listen(addresses), microphone && this.publish(microphone, addresses)]);
        } catch (error) {
            if (turn === this.#turn) await this.close();
            throw error;
        }
        if (turn !== this.#turn) return;
        this.#timers = [
            setInterval(() => this.#measure(), QUALITY_EVERY_MS),
            setInterval(() => this.#reportDelays(), DELAYS_EVERY_MS),
        ];
        this.#connected();
    }

    /** Speaks from now on, unless unpublish() comes before the microphone. Refusal, Unreachable, MicrophoneError: then he goes
        on listening. */
    async publish(microphone = true, addresses = null) {
        if (this.publisher) return;
        const publisher = this.publisher = new Publisher();
        publisher.on('ended', reason => this.#publisherEnded(publisher, reason));
        publisher.on('talking-muted', () => this.#warn('talking-muted'));
        publisher.on('changed', () => this.emit('people'));
        try {
            addresses ??= await this.#ask('open');
            if (!addresses.whip) throw new Refusal(403, {title: 'You have no seat.', type: '/problems#no-seat'});
            await publisher.capture(microphone === true ? undefined : microphone, addresses.capture);
            if (publisher === this.publisher) await publisher.open(addresses.whip);
        } catch (error) {
            const wanted = publisher === this.publisher;
            if (wanted) this.publisher = null;
            await publisher.close();
            if (wanted) throw error;
        }
        if (publisher === this.publisher) this.emit('published');
    }

    /** Goes on listening. reason: 'seat' when the server ends it too. */
    async unpublish(reason = 'asked') {
        const {publisher} = this;
        this.publisher = null;
        await publisher?.close({ended: reason === 'seat'});
        if (publisher) this.emit('unpublished', reason);
    }

    get muted() {
        return this.publisher?.muted ?? false;
    }

    /** Silences the microphone here, at once. What the others are shown is the room service's. */
    setMuted(muted) {
        this.publisher?.setMuted(muted);
        if (!muted) this.#warn('');
    }

    /** Other devices, by their ids. MicrophoneError. */
    async useMicrophone(deviceId) {
        await this.publisher?.use({deviceId: {exact: deviceId}, echoCancellation: true, noiseSuppression: true, autoGainControl: true});
    }

    async useOutput(deviceId) {
        this.#wishes.set('sink', deviceId);
        await this.listener?.use(deviceId);
    }

    /** Of everything that is heard, 0 to 1. */
    set volume(volume) {
        this.#wishes.set('volume', volume);
        if (this.listener) this.listener.volume = volume;
    }

    get volume() {
        return this.#wishes.get('volume') ?? 1;
    }

    /** How loud one person is for this listener alone, in dB; -60 is silence. Refusal, Unreachable. */
    setVolumeOf(user, gain_db) {
        return this.#wish({user_gains_db: {[user]: gain_db}});
    }

    /** How loud the room's music is for this listener alone, in dB; -60 is none. Refusal, Unreachable. */
    async setMusicVolume(gain_db) {
        await this.#wish({music_gain_db: gain_db});
        this.musicVolume = gain_db;
    }

    /** Whether there is no sound before a gesture of the user's. */
    get blocked() {
        return this.listener?.blocked ?? false;
    }

    /** From a gesture of the user's, after `blocked`. */
    play() {
        return this.listener?.play();
    }

    async statistics() {
        return statistics(this.publisher?.connection, this.listener?.connection);
    }

    /** New ICE credentials, over which the same media goes on: for when the network has changed. */
    async restartIce() {
        await Promise.allSettled([this.publisher, this.listener].map(session => session?.restartIce()));
    }

    /** Ends everything. `keepalive`: the requests outlive the page; `ended`: the room service has ended it at the media server. */
    async close(options) {
        this.#turn += 1;
        removeEventListener('online', this.online);
        navigator.connection?.removeEventListener?.('change', this.online);
        this.#timers.forEach(clearInterval);
        this.#delays.rest();
        const sessions = [this.publisher, this.listener];
        this.publisher = this.listener = null;
        Object.assign(this, {people: new Map(), players: []});
        if (this.state !== 'closed') this.#become('closed');
        await Promise.all(sessions.map(session => session?.close(options)));
    }

    async #ask(why) {
        const addresses = await this.#addresses(why);
        this.#room = roomOf(addresses.whep);
        this.#token = parseAddress(addresses.whep).token;
        return addresses;
    }

    async #listen({whep}) {
        const listener = this.listener = new Listener();
        listener.on('ended', reason => this.#reconnect(reason));
        listener.on('moved', ({room}) => this.#move(room));
        listener.on('moving', () => this.emit('moving'));
        listener.on('changed', () => this.emit('people'));
        listener.on('blocked', () => this.emit('blocked'));
        listener.on('heard', csrcs => this.#setHeard(csrcs));
        listener.on('sources', ({sources}) => this.#setSources(sources));
        listener.on('levels', levels => this.#setLevels(levels));
        listener.on('players', ({players}) => this.#setPlayers(players));
        listener.on('muted-speech', ({muted_by}) =>
            this.#warn(muted_by.includes('host') ? 'talking-muted-by-host' : 'talking-muted'));
        listener.on('microphone', ({silent, clipping}) => this.#warn(silent ? 'silent' : clipping ? 'clipping' : ''));
        listener.volume = this.volume;
        if (this.#wishes.has('sink')) await listener.use(this.#wishes.get('sink'));
        await listener.open(whep, this.#options);
    }

    /** Unless the session has ended since. */
    #connected() {
        this.#become('connected');
        if (!this.listener?.url) this.#reconnect('lost');
    }

    /** The listening session is gone: a new one, as often as it takes. */
    async #reconnect(reason) {
        if (this.state !== 'connected') return;
        const turn = this.#turn;
        this.#become('reconnecting');
        for (let attempt = 0; turn === this.#turn; attempt++) {
            await pause(backoff(attempt));
            if (turn !== this.#turn) return;
            try {
                await this.listener?.close();
                const addresses = await this.#ask(reason);
                if (turn !== this.#turn) return;
                await this.#listen(addresses);
            } catch (error) {
                if (passes(error)) continue;
                return this.#end('refused', error.problem);
            }
            if (turn === this.#turn) this.#connected();
            return;
        }
    }

    async #publisherEnded(publisher, reason) {
        if (publisher !== this.publisher) return;
        if (reason === 'microphone') return this.unpublish(reason);
        const turn = this.#turn;
        for (let attempt = 0; turn === this.#turn && publisher === this.publisher; attempt++) {
            await pause(backoff(attempt));
            if (turn !== this.#turn || publisher !== this.publisher) return;
            try {
                const {whip} = await this.#ask(reason);
                if (publisher !== this.publisher) return;
                if (!whip) return this.unpublish('seat');
                return await publisher.open(whip);
            } catch (error) {
                if (passes(error)) continue;
                return this.unpublish('seat');
            }
        }
    }

    async #end(reason, problem) {
        await this.close();
        this.emit('ended', {reason, problem});
    }

    async #wish(wishes) {
        const headers = {'Content-Type': 'application/merge-patch+json'};
        await request(this.#api('listeners', this.#user), this.#token, {method: 'PATCH', headers, body: JSON.stringify(wishes)});
    }

    #api(...segments) {
        const {base, room} = this.#room;
        return `${base}/v1/rooms/${[room, ...segments].map(encodeURIComponent).join('/')}`;
    }

    /** Whom the token is of: the `sub` of its claims. */
    get #user() {
        const claims = this.#token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/');
        return JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(claims), byte => byte.charCodeAt(0)))).sub;
    }

    #delays = new Delays();

    /** For singers (delays.js): nothing while nobody sings. */
    async #reportDelays() {
        const {publisher, listener} = this;
        const aligned = this.players.some(({delay_ms}) => delay_ms !== undefined);
        if (!aligned || !publisher?.connected || !listener?.connected || this.#options.mode !== 'mix') {
            this.#delays.rest();
            return;
        }
        const measured = await this.#delays.measure(listener.connection, publisher.connection);
        if (!measured) return;
        const headers = {'Content-Type': 'application/json'};
        // One that fails is made up for by the next.
        await request(this.#api('participants', this.#user, 'delays'), this.#token,
            {method: 'PUT', headers, body: JSON.stringify(measured)}).catch(() => {});
    }

    async #measure() {
        if (this.state !== 'connected') return;
        const numbers = await this.statistics();
        this.emit('quality', {level: quality(numbers), ...numbers});
    }

    #move(room) {
        this.#room = {...this.#room, room};
        this.people = new Map();
        this.emit('moved', room);
        this.emit('people');
    }

    #setSources(sources) {
        const known = this.people;
        this.people = new Map(sources.map(source => [source.user, {...QUIET, ...known.get(source.user), ...source}]));
        this.emit('people');
    }

    #setLevels({levels, speaking}) {
        for (const person of this.people.values()) {
            person.speaking = speaking.includes(person.user);
            person.level = levels[person.user] ?? -127;
        }
        this.emit('people');
    }

    #setHeard(csrcs) {
        let changed = false;
        for (const person of this.people.values()) {
            changed ||= person.heard !== csrcs.has(person.csrc);
            person.heard = csrcs.has(person.csrc);
        }
        if (changed) this.emit('people');
    }

    #setPlayers(players) {
        const received = Date.now() / 1000;
        this.players = players.map(player => ({...player, received}));
        this.emit('players');
    }

    #warn(warning) {
        this.emit('warning', warning);
    }

    #become(state) {
        this.state = state;
        this.emit('state', state);
    }
}
