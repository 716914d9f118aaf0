import {devices, Meter, MicrophoneError} from '/sdk/index.js';
import {openMicrophone} from '/sdk/microphone.js';
import {h, iconButton, set, text} from './dom.js';
import {ringChoice} from './push.js';
import {sentence, t} from './words.js';

const LOOK_MS = 80;

/** Devices with a test, volume, connection, notifications. */
class RoomSettings extends HTMLElement {
    #test = null;

    follow(app, room, {close, quality}) {
        Object.assign(this, {app, room});
        this.microphones = h('select', {'aria-label': t('microphone')});
        this.outputs = h('select', {'aria-label': t('output')});
        this.microphones.onchange = () => app.try(async () => {
            this.#stopTest();
            const chosen = {...PROCESSED, deviceId: {exact: this.microphones.value}};
            if (room.media.publisher) await room.media.useMicrophone(this.microphones.value);
            await room.useMicrophone(chosen);
        });
        this.outputs.onchange = () => app.try(() => room.media.useOutput(this.outputs.value));
        this.test = h('button', {onclick: () => this.#toggleTest()}, t('test-microphone'));
        this.meter = h('meter', {min: -60, max: 0, low: -50, value: -60, 'aria-label': t('microphone-level'), hidden: true});
        const volume = h('input', {type: 'range', min: 0, max: 1, step: 0.05, value: room.media.volume});
        volume.oninput = () => {
            room.media.volume = Number(volume.value);
        };
        this.numbers = h('dl', {class: 'numbers'});
        this.level = h('strong');
        this.replaceChildren(
            h('header', {class: 'bar'}, h('h2', {class: 'grow'}, t('settings')), iconButton('close', t('close'), close)),
            h('label', {}, t('microphone'), this.microphones),
            h('div', {class: 'row'}, this.test, this.meter),
            h('label', {}, t('output'), this.outputs),
            h('label', {class: 'slider'}, t('all-volume'), volume),
            h('details', {open: true}, h('summary', {}, t('connection'), ': ', this.level), this.numbers),
            ringChoice(app),
        );
        this.#list();
        this.showQuality(quality ?? {level: 'unknown'});
        navigator.mediaDevices?.addEventListener('devicechange', this.changed = () => this.#list());
    }

    disconnectedCallback() {
        navigator.mediaDevices?.removeEventListener('devicechange', this.changed);
        this.#stopTest();
    }

    showQuality({level, roundTripMs, receivedLoss, sentLoss, jitterMs, bufferMs}) {
        text(this.level, t(level));
        set(this.level, 'data-quality', level);
        const rows = [
            ['round-trip', roundTripMs, 'ms'], ['loss-here', percent(receivedLoss), '%'], ['loss-there', percent(sentLoss), '%'],
            ['jitter', jitterMs, 'ms'], ['buffer', bufferMs, 'ms'],
        ];
        this.numbers.replaceChildren(...rows.flatMap(([name, value, unit]) => [h('dt', {}, t(name)), h('dd', {}, number(value, unit))]));
    }

    async #list() {
        const {microphones, outputs} = await devices();
        const current = this.room.media?.publisher?.microphone?.getAudioTracks()[0]?.getSettings().deviceId;
        fill(this.microphones, microphones, current);
        fill(this.outputs, outputs);
    }

    async #toggleTest() {
        if (this.#test) return this.#stopTest();
        try {
            const id = this.microphones.value;
            const stream = await openMicrophone(id ? {deviceId: {exact: id}} : true);
            const meter = new Meter(stream);
            const timer = setInterval(() => {
                this.meter.value = meter.level;
            }, LOOK_MS);
            this.#test = {stream, meter, timer};
            this.meter.hidden = false;
            text(this.test, t('stop-test'));
            this.#list();
        } catch (error) {
            if (!(error instanceof MicrophoneError)) throw error;
            this.app.tell(sentence(error), {bad: true});
        }
        return undefined;
    }

    #stopTest() {
        if (!this.#test) return;
        clearInterval(this.#test.timer);
        this.#test.meter.stop();
        this.#test.stream.getTracks().forEach(track => track.stop());
        this.#test = null;
        this.meter.hidden = true;
        text(this.test, t('test-microphone'));
    }
}

const PROCESSED = {echoCancellation: true, noiseSuppression: true, autoGainControl: true};
const percent = share => share === undefined ? undefined : 100 * share;
const number = (value, unit) => Number.isFinite(value) ? `${value.toFixed(value < 10 ? 1 : 0)} ${unit}` : '–';

function fill(select, all, current) {
    const chosen = current ?? select.value;
    select.replaceChildren(...all.length ? all.map(({id, name}) => new Option(name, id)) : [new Option(t('no-choice'), '')]);
    if (all.some(({id}) => id === chosen)) select.value = chosen;
    select.disabled = all.length < 2;
}

customElements.define('room-settings', RoomSettings);
