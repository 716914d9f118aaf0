import {parseAddress} from './address.js';
import {Emitter} from './emitter.js';
import {captureAs, constraintsOf, openMicrophone} from './microphone.js';
import {MutedEar} from './muted-ear.js';
import {preferRedundancy} from './sdp.js';
import {Session} from './session.js';

/** A microphone that is sent to a room.
 *
 * Events: `ended` ('closed' by the server, 'lost', 'microphone': it was unplugged), `talking-muted`, `changed`. */
export class Publisher extends Emitter {
    muted = false;
    microphone = null;  // a MediaStream
    #session = null;
    #ear = null;
    #owned = true;
    #isClosed = false;

    /** `microphone`: constraints for getUserMedia(), or a MediaStream of the app's own, which it stops itself. `capture`:
        the room's hints for it, as the media server gives them. MicrophoneError. */
    async capture(microphone, capture) {
        this.#owned = !(microphone instanceof MediaStream);
        this.microphone = this.#owned ? await openMicrophone(microphone) : microphone;
        if (this.#owned && capture && !this.#isClosed) this.microphone = await captureAs(this.microphone, constraintsOf(capture));
        if (this.#isClosed) this.#release();  // while the user was asked
        else this.#watch();
    }

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

    /** After capture(), and again after `ended`. Refusal, Unreachable. */
    async open(address) {
        const {url, token} = parseAddress(address);
        const session = this.#session = new Session(token, reason => this.#ended(session, reason), () => this.emit('changed'));
        const transceiver = session.connection.addTransceiver(this.#track, {
            direction: 'sendonly',
            streams: [this.microphone],
        });
        preferRedundancy(transceiver);
        await session.open(url);
    }

    /** Silence leaves the microphone from now on, or sound. The server is told by others: this is at once. */
    setMuted(muted) {
        this.muted = muted;
        if (this.#track) this.#track.enabled = !muted;
        if (!muted || !this.#track) this.#stopEar();
        else this.#ear ??= new MutedEar(this.#track, () => this.emit('talking-muted'));
        this.emit('changed');
    }

    /** Another microphone without a new session: what is heard goes on. `audio`: constraints. MicrophoneError. */
    async use(audio) {
        const next = await openMicrophone(audio);
        if (this.#isClosed) return next.getTracks().forEach(track => track.stop());
        const [track] = next.getAudioTracks();
        track.enabled = !this.muted;
        const [sender] = this.connection?.getSenders() ?? [];
        const replaced = sender?.replaceTrack(track);
        this.#stopEar();  // which is on the old one
        this.#release();
        Object.assign(this, {microphone: next});
        this.#owned = true;
        this.#watch();
        this.setMuted(this.muted);
        await replaced;
    }

    restartIce() {
        return this.#session?.restartIce();
    }

    /** Ends the session and lets the microphone go. */
    async close(options) {
        const session = this.#session;
        this.#isClosed = true;
        this.#session = null;
        this.#stopEar();
        this.#release();
        await session?.close(options);
    }

    get #track() {
        return this.microphone?.getAudioTracks()[0];
    }

    #watch() {
        this.#track.onended = () => {
            this.#session?.close();
            this.#session = null;
            this.emit('ended', 'microphone');
        };
    }

    #ended(session, reason) {
        if (session !== this.#session) return;
        this.#session = null;
        this.emit('ended', reason);
    }

    #stopEar() {
        this.#ear?.stop();
        this.#ear = null;
    }

    #release() {
        if (this.#track) this.#track.onended = null;
        if (this.#owned) this.microphone?.getTracks().forEach(track => track.stop());
        this.microphone = null;
    }
}
