// A room of the media server in a page, over the SDK's Media alone: the form, who is there, one's microphone.
//
//   Entry (entry.js)        how one comes in        showPeople (people.js)   who can speak, and how loud
//   MusicPanel (music.js)   what the room plays

import {Media, MicrophoneError} from '/sdk/index.js';
import {Entry} from './entry.js';
import {MusicPanel} from './music.js';
import {showPeople} from './people.js';

// How long a hint stays; the server gives the next after 5 s at the earliest.
const HINT_MS = 6000;
const STATISTICS_EVERY_MS = 1000;
const WARNINGS = {
    'talking-muted': 'You are muted: nobody hears you.',
    'talking-muted-by-host': 'You are muted by the host: nobody hears you.',
    silent: 'Your microphone gives no sound: is it switched off, or the wrong one?',
    clipping: 'Your microphone is turned up too far: your voice is distorted.',
};
const UNPUBLISHED = {
    microphone: 'The microphone was disconnected; you go on listening.',
    seat: 'You can no longer speak here; you go on listening.',
};

const at = id => document.getElementById(id);

class Page {
    #media = null;
    #entry = null;
    #problem = '';
    #offersListening = false;
    #whole = false;      // both sessions are there
    #mutes = '';         // who mutes us, as was told last
    #busy = false;       // one's own mute is on its way to the server
    #hint = '';
    #hintTimer = 0;
    #statisticsTimer = 0;
    #music = new MusicPanel(problem => this.#tell(problem));
    #token = new URLSearchParams(location.hash.slice(1)).get('token');

    constructor() {
        this.form = at('join');
        this.form.onsubmit = event => {
            event.preventDefault();
            this.#join(this.form.role.value === 'speak');
        };
        at('mute').onclick = () => this.#mute(!this.#media.muted);
        at('leave').onclick = () => this.#leave();
        at('sound').onclick = () => {
            at('sound').hidden = true;
            this.#media.play();
        };
        at('connection').ontoggle = () => this.#showStatistics();
        addEventListener('pagehide', () => this.#media?.close({keepalive: true}));
        this.#preselect(new URLSearchParams(location.search));
    }

    /** The room, for the console and for tests; null outside. */
    get media() {
        return this.#media;
    }

    /** /?room=lobby&user=ann&listen=1&mode=select fills in the form. */
    #preselect(query) {
        this.slots = Number(query.get('slots')) || undefined;
        for (const name of ['room', 'user']) if (query.get(name)) this.form[name].value = query.get(name);
        if (query.has('listen')) this.form.role.value = 'listen';
        if (this.slots || query.get('mode') === 'select') this.form.mode.value = 'select';
        (query.get('user') ? this.form.querySelector('button') : this.form.user).focus();
    }

    async #join(speaks) {
        const {form, slots} = this;
        const entry = new Entry({room: form.room.value, user: form.user.value, speaks, token: this.#token});
        const mode = form.mode.value;
        const media = new Media({addresses: why => entry.addresses(why), mode, slots});
        this.#follow(media, entry);
        form.querySelector('button').disabled = true;
        this.#tell('');
        try {
            await media.open({microphone: speaks});
        } catch (error) {
            this.#offersListening = error instanceof MicrophoneError;
            this.#tell(error.message);
            return;
        } finally {
            form.querySelector('button').disabled = false;
        }
        Object.assign(this, {mode, speaks});
        this.#mutes = '';
        this.#whole = false;
        this.#media = media;
        this.#entry = entry;
        this.#music.follow(media, entry, mode);
        at('people').replaceChildren();
        document.title = `${entry.room} – Media server`;
        this.#show();
        at('title').focus();
    }

    #follow(media, entry) {
        const on = (name, act) => media.on(name, detail => media === this.#media && act(detail));
        on('state', () => this.#show());
        on('people', () => this.#showPeople());
        on('players', () => this.#music.show());
        on('warning', warning => this.#warn(warning));
        on('unpublished', reason => {
            this.speaks = entry.speaks = false;
            this.#tell(UNPUBLISHED[reason] ?? '');
        });
        on('moved', room => {
            entry.room = room;
            this.#tell(`You are in ${room} now.`);
        });
        on('moving', () => {
            entry.stops = true;
            this.#tell('The server is about to restart.');
        });
        on('ended', ({problem}) => {
            this.#end();
            this.#tell(problem?.detail ?? 'The connection has ended.');
        });
        media.on('blocked', () => {
            at('sound').hidden = false;
        });
    }

    async #leave() {
        const media = this.#media;
        this.#end();
        this.#tell('');
        await media.close();
    }

    #end() {
        this.#media = this.#entry = null;
        this.#music.follow(null);
        this.#warn('');
        at('sound').hidden = true;
        document.title = 'Media server';
    }

    /** Silences the microphone here at once, and then for everybody at the server. */
    async #mute(muted) {
        const [media, entry] = [this.#media, this.#entry];
        media.setMuted(muted);
        this.#busy = true;
        this.#show();
        try {
            const path = entry.path('speakers', entry.user, 'mutes', 'self');
            await entry.call(path, {method: muted ? 'PUT' : 'DELETE', token: entry.token});
        } catch (error) {
            // To be heard by mistake is worse than not to be heard, so only the wish to speak can fail.
            if (!muted) media.setMuted(true);
            this.#tell(error.message);
        } finally {
            this.#busy = false;
            this.#show();
        }
    }

    #tell(problem) {
        if (problem !== this.#problem) this.#problem = problem;
        this.#show();
    }

    #warn(warning) {
        clearTimeout(this.#hintTimer);
        this.#hint = WARNINGS[warning] ?? '';
        if (warning.startsWith('talking')) this.#hintTimer = setTimeout(() => this.#warn(''), HINT_MS);
        at('hint').hidden = !this.#hint;
        at('hint').textContent = this.#hint;
    }

    #show() {
        const inside = this.#media !== null;
        this.form.hidden = inside;
        at('room').hidden = !inside;
        this.#showNotice();
        if (!inside) return;
        at('title').textContent = this.#entry.room;
        at('status').textContent = this.#status();
        at('mute').hidden = !this.speaks;
        at('mute').textContent = this.#media.muted ? 'Unmute' : 'Mute';
        at('mute').classList.toggle('primary', this.#media.muted);
        this.#music.show();
        this.#showPeople();
    }

    get #isWhole() {
        const {state, publisher, listener} = this.#media;
        return state === 'connected' && [publisher, listener].every(session => !session || session.connected);
    }

    #status() {
        const [{state, listener}, {user}] = [this.#media, this.#entry];
        if (state === 'reconnecting') return 'The connection was lost. It is being made again…';
        if (!this.#isWhole) return 'Connecting…';
        const hears = this.mode === 'mix' ? 'hear the mix' : `hear the ${listener.slots.length} loudest`;
        return this.speaks ? `You are here as ${user} and ${hears}` : `You listen as ${user} and ${hears}`;
    }

    #showNotice() {
        const notice = at('notice');
        if (notice.dataset.text === this.#problem) return;
        notice.dataset.text = this.#problem;
        notice.hidden = !this.#problem;
        notice.querySelector('p').textContent = this.#problem;
        at('only-listen').hidden = !this.#offersListening;
        at('only-listen').onclick = () => this.#join(false);
        this.#offersListening = false;
    }

    #showPeople() {
        const media = this.#media;
        const own = media.people.get(this.#entry.user);
        this.#followMutes(media, own);
        const whole = this.#isWhole;
        if (whole && !this.#whole) this.#entry.stops = false;
        this.#whole = whole;
        if (own && !own.muted_by.length && this.#hint.startsWith('You are muted')) this.#warn('');
        const setVolume = this.mode === 'mix' ? (user, gain) => this.#do(() => media.setVolumeOf(user, gain)) : null;
        showPeople(at('people'), [...media.people.values()], {own: this.#entry.user, setVolume});
        at('alone').hidden = media.people.size > 0;
        const status = this.#status();
        if (at('status').textContent !== status) at('status').textContent = status;
        const words = media.muted ? 'Unmute' : 'Mute';
        if (at('mute').textContent !== words) this.#show();
    }

    /** Who mutes himself elsewhere is silent here, too; nobody is heard because of what came late. */
    #followMutes(media, own) {
        const told = own?.muted_by.join() ?? '';
        if (told === this.#mutes || this.#busy) return;
        this.#mutes = told;
        if (own?.muted_by.includes('self')) media.setMuted(true);
    }

    async #do(action) {
        try {
            await action();
        } catch (error) {
            this.#tell(error.message);
        }
    }

    async #showStatistics() {
        clearTimeout(this.#statisticsTimer);
        if (!at('connection').open || !this.#media) return;
        const {roundTripMs, receivedLoss, jitterMs, bufferMs, sentLoss} = await this.#media.statistics();
        const rows = [
            ['Round trip', number(roundTripMs, 'ms')],
            ['Lost on the way here', number(100 * receivedLoss, '%')],
            ['Jitter', number(jitterMs, 'ms')],
            ['Playout delay', number(bufferMs, 'ms')],
            ...this.speaks ? [['Lost on the way there', number(100 * sentLoss, '%')]] : [],
        ];
        const cell = (name, textContent) => Object.assign(document.createElement(name), {textContent});
        at('connection').querySelector('dl').replaceChildren(...rows.flatMap(([name, value]) => [cell('dt', name), cell('dd', value)]));
        this.#statisticsTimer = setTimeout(() => this.#showStatistics(), STATISTICS_EVERY_MS);
    }
}

const number = (value, unit) => Number.isFinite(value) ? `${value.toFixed(value < 10 ? 1 : 0)} ${unit}` : '–';

window.page = new Page();
