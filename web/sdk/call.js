import {Emitter} from './emitter.js';
import {Media} from './media.js';

/** Calls of this device's user: those that he makes, and those that come.
 *
 * Events: `incoming` (Call): ring, and accept() or reject() it. `missed` ({call, by, reason}): he was busy. */
export class Calls extends Emitter {
    #signaling;
    #options;
    #open = new Map();

    /** options: those of Media, but for addresses; and `microphone`. */
    constructor(signaling, options = {}) {
        super();
        this.#signaling = signaling;
        this.#options = options;
        signaling.on('event', ({event, data}) => this.#happened(event, data));
        signaling.on('reload', () => this.resume());
    }

    /** Calls one user or several; rings at theirs until they answer, at most 60 s. RpcError, MicrophoneError. */
    async start(users, {data} = {}) {
        const view = await this.#signaling.call('start_call', data === undefined ? {users} : {users, data});
        const call = this.#add(view);
        await call.join();
        return call;
    }

    /** A call that was there before this page: emitted as `incoming` while it rings. */
    async resume() {
        const {call: view} = await this.#signaling.call('get_current_call');
        if (!view) return;
        const known = this.#open.get(view.id);
        if (known) return known.update(view);
        const call = this.#add(view);
        if (call.own?.state === 'ringing') this.emit('incoming', call);
    }

    async history({before, limit = 20} = {}) {
        return (await this.#signaling.call('get_call_history', before === undefined ? {limit} : {before, limit})).calls;
    }

    async #happened(event, data) {
        const known = this.#open.get(data.call);
        if (known) return known.happened(event, data);
        if (event === 'call_missed') this.emit('missed', data);
        if (event !== 'call_incoming') return;
        const call = this.#add(await this.#signaling.call('get_call', {call: data.call}));
        if (call.own?.state !== 'ringing') return;
        this.#signaling.call('ring', {call: call.id}).catch(() => {});
        this.emit('incoming', call);
    }

    #add(view) {
        const call = new Call(this.#signaling, view, this.#options);
        this.#open.set(call.id, call);
        call.on('ended', () => this.#open.delete(call.id));
        return call;
    }
}

/** One call. `state`: 'ringing' for who is called, 'calling' for who waits for an answer, 'in', or 'ended'.
 *
 * Events: `change`, `ended` ({reason, duration_s}), `media-problem` (error). */
export class Call extends Emitter {
    media = null;
    ended = null;
    #signaling;
    #options;

    constructor(signaling, view, options = {}) {
        super();
        this.#signaling = signaling;
        this.#options = options;
        this.view = view;
    }

    get id() {
        return this.view.id;
    }

    get caller() {
        return this.view.caller;
    }

    /** What it is with each: {user, state: 'ringing', 'in' or 'out', mutes, reason}. */
    get parties() {
        return this.view.parties;
    }

    get own() {
        return this.parties.find(({user}) => user === this.#signaling.user);
    }

    get state() {
        if (this.ended) return 'ended';
        if (this.own?.state === 'ringing') return 'ringing';
        return this.view.answered_at === null ? 'calling' : 'in';
    }

    get muted() {
        return (this.own?.mutes.length ?? 0) > 0;
    }

    /** By this device; the user's others stop ringing. RpcError, MicrophoneError. */
    async accept() {
        this.update(await this.#call('answer_call'));
        await this.join();
    }

    async reject(data) {
        await this.#call('reject_call', data === undefined ? {} : {data}).catch(() => {});
        await this.end({reason: 'rejected', duration_s: 0});
    }

    async hangUp() {
        await this.#call('hang_up').catch(() => {});
        await this.end({reason: 'hung up', duration_s: 0});
    }

    /** Calls further users into it. */
    async invite(users) {
        this.update(await this.#call('call_in', {users}));
    }

    async mute(muted = true) {
        if (muted) this.media?.setMuted(true);
        this.update(await this.#call('mute_party', {muted}));
    }

    async muteUser(user, muted = true) {
        this.update(await this.#call('mute_party', {user, muted}));
    }

    async remove(user) {
        this.update(await this.#call('remove_party', {user}));
    }

    async handOver(user) {
        this.update(await this.#call('hand_over_call', {user}));
    }

    /** Speaks and listens; the caller hears how it rings. */
    async join() {
        if (this.media) return;
        const media = this.media = new Media({...this.#options, addresses: () => this.#call('get_call_media')});
        media.on('ended', () => this.end({reason: 'lost', duration_s: 0}));
        try {
            await media.open({microphone: this.#options.microphone ?? true});
        } catch (error) {
            this.media = null;
            await this.hangUp();
            throw error;
        }
        this.emit('change');
    }

    update(view) {
        this.view = view;
        if (view.ended_at !== null) return this.end(view);
        this.media?.setMuted(this.muted);
        this.emit('change');
    }

    async happened(event, data) {
        const own = data.user === this.#signaling.user;
        if (event === 'call_ended') return this.end(data);
        if (event === 'call_answered_elsewhere') return this.end({reason: 'answered elsewhere', duration_s: 0});
        if (event === 'call_party_left' && own && this.own?.state !== 'out') return this.end({reason: data.reason, duration_s: 0});
        if (this.ended) return;
        try {
            this.update(await this.#call('get_call'));
        } catch (error) {
            this.emit('media-problem', error);
        }
    }

    async end({reason, duration_s}) {
        if (this.ended) return;
        this.ended = {reason, duration_s};
        const {media} = this;
        this.media = null;
        await media?.close({ended: true});
        this.emit('ended', this.ended);
        this.emit('change');
    }

    #call(method, params = {}) {
        return this.#signaling.call(method, {call: this.id, ...params});
    }
}
