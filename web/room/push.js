import {Emitter} from '/sdk/emitter.js';
import {h, text} from './dom.js';
import {language, sentence, t} from './words.js';

const POSSIBLE = 'serviceWorker' in navigator && 'PushManager' in window;

/** Why it does not ring: `name` is what words.js has a sentence of. */
class PushProblem extends Error {
    constructor(name) {
        super(name);
        this.name = name;
    }
}

/** Rings in this browser while no page is open: a service worker, and the service's Web Push. Who is rung stays logged in
    here, so that a click on the notification finds him so. Event: `change`, of whether it can and does. */
export class Ringing extends Emitter {
    #signaling = null;
    #kept;
    #key = null;

    /** kept: a KeptLogin. */
    constructor(kept) {
        super();
        this.#kept = kept;
    }

    /** Whether this browser and this service can do it at all. */
    get possible() {
        return this.#key !== null;
    }

    get active() {
        return this.possible && this.#kept.outlivesTab;
    }

    /** After a login. A push service forgets, and so does ours: it is told again where this browser is. */
    async start(signaling) {
        this.#signaling = signaling;
        if (!POSSIBLE) return;
        const key = await signaling.call('get_push_key').then(({key}) => key, () => null);
        if (signaling !== this.#signaling) return;
        this.#key = key;
        if (this.active) await this.#renew();
        this.emit('change');
    }

    /** From a gesture of the user's. PushProblem, RpcError. */
    async turnOn() {
        if (await Notification.requestPermission() !== 'granted') throw new PushProblem('notifications-off');
        // What there is may be of another user, or for another key: a new one ends that.
        await (await this.#subscription())?.unsubscribe();
        const subscription = await subscribed(this.#key);
        try {
            await this.#register(subscription);
        } catch (error) {
            await subscription.unsubscribe();
            throw error;
        }
        this.#kept.outliveTab(true);
    }

    async turnOff() {
        if (!POSSIBLE) return;
        const subscription = await this.#subscription();
        this.#kept.outliveTab(false);
        if (!subscription) return;
        // Without our service: it learns from the push service that this one is gone.
        await this.#signaling.call('unregister_push', {endpoint: subscription.endpoint}).catch(() => {});
        await subscription.unsubscribe();
    }

    /** The worker speaks the page's language. */
    async speak() {
        if (POSSIBLE && await navigator.serviceWorker.getRegistration('/')) await navigator.serviceWorker.register(worker());
    }

    async #renew() {
        const subscription = await this.#subscription();
        if (subscription && encoded(subscription.options.applicationServerKey) === this.#key) await this.#register(subscription);
        else if (Notification.permission === 'granted') await this.turnOn();
        else this.#kept.outliveTab(false);
    }

    async #subscription() {
        const registration = await navigator.serviceWorker.getRegistration('/');
        return registration?.pushManager.getSubscription() ?? null;
    }

    async #register(subscription) {
        const {endpoint, keys} = subscription.toJSON();
        await this.#signaling.call('register_push', {endpoint, keys});
    }
}

/** A box for the user to tick; nothing where it cannot be. */
class RingChoice extends HTMLElement {
    #box = h('input', {type: 'checkbox'});
    #note = h('span', {class: 'quiet', role: 'status'});
    #off = () => {};

    connectedCallback() {
        this.#box.onchange = () => this.#turn(this.#box.checked);
        this.replaceChildren(h('label', {class: 'choice'}, this.#box, t('notifications')), this.#note);
        this.#off = this.app.ringing.on('change', () => this.#show());
        this.#show();
    }

    disconnectedCallback() {
        this.#off();
    }

    #show() {
        this.hidden = !this.app.ringing.possible;
        this.#box.checked = this.app.ringing.active;
    }

    async #turn(on) {
        const {ringing} = this.app;
        this.#box.disabled = true;
        try {
            await (on ? ringing.turnOn() : ringing.turnOff());
            text(this.#note, on ? t('notifications-on') : '');
        } catch (error) {
            text(this.#note, sentence(error));
        }
        this.#box.disabled = false;
        this.#show();
    }
}

customElements.define('ring-choice', RingChoice);

export const ringChoice = app => Object.assign(h('ring-choice'), {app});

const worker = () => `/service-worker.js?language=${language}`;

async function subscribed(key) {
    await navigator.serviceWorker.register(worker());
    const {pushManager} = await navigator.serviceWorker.ready;
    try {
        return await pushManager.subscribe({userVisibleOnly: true, applicationServerKey: key});
    } catch (error) {
        throw new PushProblem(error.name === 'NotAllowedError' ? 'notifications-off' : 'no-push-service');
    }
}

/** In base64url, as the service says its key. */
function encoded(buffer) {
    const bytes = String.fromCharCode(...new Uint8Array(buffer ?? new ArrayBuffer(0)));
    return btoa(bytes).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
}
