import {persistently} from './backoff.js';
import {Emitter} from './emitter.js';
import {Media} from './media.js';
import {mayPass} from './rpc-error.js';
import {Voice} from './voice.js';

/** Calls of this device's user: those that he makes, and those that come.
 *
 * Events: `incoming` (Call): ring, and accept() or reject() it. `resumed` (Call): he is in it by this device, as before the page
 * was loaded anew. `missed` ({call, by, reason}): he was busy. */
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
        signaling.on('reload', () => persistently(() => this.resume(), mayPass).catch(() => {}));
    }

    /** Calls one user or several; rings at theirs until they answer, at most 60 s. It may have `ended` already, when one declines
        at once. RpcError, MicrophoneError. */
    async start(users, {data} = {}) {
        const view = await this.#signaling.call('start_call', data === undefined ? {users} : {users, data});
        const call = this.#add(view);
        await call.join();
        return call;
    }

    /** How it is now with the call that was there before this page, or before what was missed: emitted as `incoming` while it
        rings, as `resumed` when this device is in it. Those that are not there any more end. */
    async resume() {
        const before = [...this.#open.values()];
        const {call: view} = await this.#signaling.call('get_current_call');
        await Promise.all(before.filter(({id}) => id !== view?.id).map(call => call.over()));
        if (!view) return;
        const known = this.#open.get(view.id);
        if (known) known.update(view);
        const call = known ?? this.#add(view);
        if (call.elsewhere) return call.end({reason: 'answered elsewhere', duration_s: 0});
        const joined = call.own?.state === 'in' && call.rejoin();
        if (!known && joined) this.emit('resumed', call);
        if (!known && call.own?.state === 'ringing') this.emit('incoming', call);
        await joined;
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
 * Events: `change`, `ended` ({reason, duration_s}), `media-problem` (error): he is in, but his microphone is not sent, or the
 * service cannot be asked; `microphoneProblem` has the name of a MicrophoneError while it lasts. */
export class Call extends Emitter {
    media = null;
    ended = null;  // as the event tells it
    #signaling;
    #options;
    #voice;

    constructor(signaling, view, options = {}) {
        super();
        this.#signaling = signaling;
        this.#options = options;
        this.view = view;
        this.#voice = new Voice({muted: () => this.muted, microphone: options.microphone});
        this.#voice.on('problem', error => this.emit('media-problem', error));
        this.#voice.on('change', () => this.emit('change'));
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

    /** Whether he is in it by another device of his. */
    get elsewhere() {
        return this.own?.state === 'in' && this.own.device !== this.#signaling.device;
    }

    get muted() {
        return (this.own?.mutes.length ?? 0) > 0;
    }

    get microphoneProblem() {
        return this.#voice.problem;
    }

    /** Another one, after it was unplugged or refused: what there is, or one that the user has chosen. */
    useMicrophone(microphone = true) {
        return this.#voice.use(microphone);
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
        try {
            this.update(await this.#call('mute_party', {muted}));
        } catch (error) {
            this.media?.setMuted(this.muted);  // as it is shown
            throw error;
        }
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

    /** Speaks and listens; the caller hears how it rings. Without a microphone it is hung up. */
    join() {
        return this.#open(media => media.open({microphone: this.#voice.microphone}));
    }

    /** The same for who is in already: servers that are away, and a microphone, are waited for. */
    rejoin() {
        return this.#open(media => persistently(() => this.ended || media.open(), error => !this.ended && mayPass(error)));
    }

    async #open(open) {
        if (this.media) return;
        const media = this.media = new Media({...this.#options, addresses: () => this.#call('get_call_media')});
        media.on('ended', () => this.end({reason: 'lost', duration_s: 0}));
        this.#voice.start(media);
        try {
            await open(media);
        } catch (error) {
            if (this.ended) return;
            await this.hangUp();
            throw error;
        }
        await this.#voice.follow();
        this.emit('change');
    }

    update(view) {
        this.view = view;
        if (view.ended_at !== null) return this.end(view);
        this.media?.setMuted(this.muted);
        this.emit('change');
    }

    /** The service has it no more among what he is in. */
    async over() {
        const view = await this.#call('get_call').catch(() => null);
        const own = view?.parties.find(({user}) => user === this.#signaling.user);
        await this.end({reason: view?.reason ?? own?.reason ?? 'lost', duration_s: view?.duration_s ?? 0});
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
        this.#voice.stop();
        await media?.close({ended: true});
        this.emit('ended', this.ended);
        this.emit('change');
    }

    #call(method, params = {}) {
        return this.#signaling.call(method, {call: this.id, ...params});
    }
}
