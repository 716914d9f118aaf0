import {h, text} from './dom.js';
import {t} from './words.js';

/** Whether this browser rings while the page is closed: a service worker and the service's Web Push. */
export class Pushes {
    constructor(app) {
        this.app = app;
        this.box = h('input', {type: 'checkbox'});
        this.note = h('span', {class: 'quiet'});
        this.element = h('div', {}, h('label', {class: 'choice'}, this.box, t('notifications')), this.note);
        this.element.hidden = !('serviceWorker' in navigator && 'PushManager' in window);
        this.box.onchange = () => app.try(() => this.box.checked ? this.#on() : this.#off());
        if (!this.element.hidden) this.#look();
    }

    async #look() {
        const registration = await navigator.serviceWorker.getRegistration('/');
        this.box.checked = Boolean(await registration?.pushManager.getSubscription());
    }

    async #on() {
        this.box.checked = false;
        const {key} = await this.app.signaling.call('get_push_key');
        if (!key) return text(this.note, t('no-notifications'));
        if (await Notification.requestPermission() !== 'granted') return text(this.note, t('notifications-off'));
        await navigator.serviceWorker.register('/service-worker.js');
        const registration = await navigator.serviceWorker.ready;
        const subscription = await registration.pushManager.subscribe({userVisibleOnly: true, applicationServerKey: key});
        const {endpoint, keys} = subscription.toJSON();
        await this.app.signaling.call('register_push', {endpoint, keys});
        this.box.checked = true;
        return text(this.note, t('notifications-on'));
    }

    async #off() {
        const registration = await navigator.serviceWorker.getRegistration('/');
        const subscription = await registration?.pushManager.getSubscription();
        if (!subscription) return;
        await this.app.signaling.call('unregister_push', {endpoint: subscription.endpoint});
        await subscription.unsubscribe();
        text(this.note, '');
    }
}
