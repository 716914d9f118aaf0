import {backoff, pause} from './backoff.js';
import {Emitter} from './emitter.js';
import {Refusal} from './http.js';
import {MicrophoneError} from './microphone.js';
import {mayPass} from './rpc-error.js';

// After so many refusals in a row it is told. A media server that was away may refuse who may speak until it knows of him
// again, some two seconds; it lasts longer than this.
const PATIENCE = 4;

/** The microphone of somebody who speaks where his owner says that he may: sent over his Media for as long, and again after it
 * was unplugged or refused, the connection failed, or another device was connected.
 *
 * Events
 * - `problem` (error): it is not sent; a MicrophoneError waits for a device, or for use(), any other is tried again
 * - `change`: `problem` is another */
export class Voice extends Emitter {
    microphone;    // what Media.publish() takes
    problem = '';  // the name of a MicrophoneError, while it lasts
    #media = null;
    #may;
    #muted;
    #attempt = 0;
    #refusals = 0;
    #waits = false;
    #plugged = () => this.problem && this.follow();

    /** may(), muted(): whether he may speak, and whether silently, at this moment. */
    constructor({may = () => true, muted, microphone = true}) {
        super();
        this.#may = may;
        this.#muted = muted;
        this.microphone = microphone;
    }

    /** media: not open yet. */
    start(media) {
        this.#media = media;
        media.on('unpublished', reason => {
            if (reason === 'microphone') this.use();
            else if (reason === 'seat') this.follow();  // the media server has taken it, and perhaps nobody else
        });
        navigator.mediaDevices?.addEventListener('devicechange', this.#plugged);
    }

    stop() {
        this.#media = null;
        this.#attempt = this.#refusals = 0;
        this.problem = '';
        navigator.mediaDevices?.removeEventListener('devicechange', this.#plugged);
    }

    /** Another one: what there is, or one that the user has chosen. */
    async use(microphone = true) {
        this.microphone = microphone;
        await this.follow();
    }

    /** Whenever may() or muted() says something else. */
    async follow() {
        const media = this.#media;
        if (!media || media.state === 'closed') return;
        const known = this.problem;
        this.problem = '';
        try {
            if (this.#may()) {
                await media.publish(this.microphone);
                media.setMuted(this.#muted());
            } else {
                await media.unpublish('seat');
            }
            this.#attempt = this.#refusals = 0;
        } catch (error) {
            if (this.#media === media && this.#may()) this.#failed(error);
        }
        if (known !== this.problem) this.emit('change');
    }

    #failed(error) {
        if (error instanceof MicrophoneError) {
            this.problem = error.name;
            return this.emit('problem', error);
        }
        const unknown = error instanceof Refusal && [403, 404].includes(error.status);
        this.#refusals = unknown ? this.#refusals + 1 : 0;
        if (unknown ? this.#refusals === PATIENCE : this.#attempt === 0) this.emit('problem', error);
        if (unknown || mayPass(error)) this.#followLater();
    }

    #followLater() {
        if (this.#waits) return;
        this.#waits = true;
        pause(backoff(this.#attempt++)).then(() => {
            this.#waits = false;
            this.follow();
        });
    }
}
