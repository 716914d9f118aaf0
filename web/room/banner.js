import {h, text} from './dom.js';
import {t} from './words.js';

// From when on a loss is no hiccup: then the user is told what happens, and may have it tried at once.
const LONG_MS = 6000;

/** What is wrong with the connection to the room service, above all else; nothing while it is well. */
class ConnectionBanner extends HTMLElement {
    #signaling = null;
    #timer = 0;
    #long = false;
    #words = h('span');
    #retry = h('button', {type: 'button', onclick: () => this.#signaling?.retry()});

    connectedCallback() {
        this.setAttribute('role', 'alert');
        this.append(this.#words, this.#retry);
        addEventListener('online', () => this.show());
        addEventListener('offline', () => this.show());
        this.show();
    }

    /** signaling: null while nobody is logged in. */
    follow(signaling) {
        this.#signaling = signaling;
        signaling?.on('state', () => this.show());
        this.show();
    }

    show() {
        const lost = this.#signaling?.state === 'reconnecting';
        if (!lost) {
            clearTimeout(this.#timer);
            this.#timer = 0;
            this.#long = false;
        } else if (!this.#timer) {
            this.#timer = setTimeout(() => {
                this.#long = true;
                this.show();
            }, LONG_MS);
        }
        this.hidden = navigator.onLine && !lost;
        this.#retry.hidden = !navigator.onLine || !this.#long;
        text(this.#words, this.hidden ? '' : t(!navigator.onLine ? 'offline' : this.#long ? 'server-gone' : 'reconnecting'));
        text(this.#retry, t('retry'));
    }
}

customElements.define('connection-banner', ConnectionBanner);
