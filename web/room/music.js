import {h, iconButton, list, set, text} from './dom.js';
import {t} from './words.js';

const PLAYER = 'music';
const EVERY_MS = 500;
// A clock that is further from the server's than this is wrong: then a position counts from when it was told.
const CLOCK_TOLERANCE_S = 2;
const DUCKING_DB = 12;

/** Where a player is now, in ms: `position_ms` was in the mix at `at`, by the server's clock. */
export function positionOf({status, position_ms = 0, duration_ms = Infinity, at, received}, now = Date.now() / 1000) {
    if (status !== 'playing') return position_ms;
    const since = Math.abs(received - (at ?? 0)) < CLOCK_TOLERANCE_S ? at : received;
    return Math.min(Math.max(0, position_ms + 1000 * (now - since)), duration_ms);
}

/** What plays, for everybody to see; for host and admins the library and the effects. */
class RoomMusic extends HTMLElement {
    #timer = 0;
    #dragging = false;
    #pieces = [];

    follow(app, room, {close}) {
        Object.assign(this, {app, room});
        this.now = h('p', {class: 'track'}, h('strong'), ' ', h('span', {class: 'quiet'}));
        this.bar = h('input', {type: 'range', min: 0, step: 250, 'aria-label': t('position')});
        this.elapsed = h('output');
        this.length = h('output');
        this.play = iconButton('play', t('play'), () => this.#do(() => this.#toggle()), {class: 'primary'});
        this.controls = h('div', {class: 'controls'},
            iconButton('previous', t('previous'), () => this.#do(() => room.controlMusic('previous'))),
            this.play,
            iconButton('next', t('next'), () => this.#do(() => room.controlMusic('next'))));
        this.bar.oninput = () => {
            this.#dragging = true;
        };
        this.bar.onchange = () => this.#do(async () => {
            this.#dragging = false;
            await room.controlMusic('seek', {position_ms: Number(this.bar.value)});
        });
        this.library = h('ul', {class: 'pieces'});
        this.search = h('input', {type: 'search', placeholder: t('search-library'), 'aria-label': t('search-library')});
        this.search.oninput = () => this.#loadLibrary();
        this.empty = h('p', {class: 'empty', hidden: true}, t('empty-library'));
        this.address = h('form', {class: 'write'}, h('input', {name: 'url', type: 'url', required: true, placeholder: t('address'), 'aria-label': t('address')}), iconButton('play', t('play'), undefined, {type: 'submit'}));
        this.address.onsubmit = event => {
            event.preventDefault();
            const {url} = Object.fromEntries(new FormData(this.address));
            this.#do(() => this.#start([{url}]));
        };
        this.board = h('div', {class: 'board'});
        this.audience = h('select', {'aria-label': t('for-whom')});
        this.lead = h('div', {class: 'lead'},
            this.#slider('volume', -40, 6, -6, db => room.controlMusic('volume', {volume_db: db})),
            this.#slider('ducking', 0, 30, DUCKING_DB, db => room.configureSound({ducking_db: db})),
            this.#places(),
            h('h3', {}, t('library')), this.search, this.empty, this.library, this.address,
            h('h3', {}, t('effects')), h('label', {class: 'row'}, t('for-whom'), this.audience), this.board);
        this.replaceChildren(
            h('header', {class: 'bar'}, h('h2', {class: 'grow'}, t('music')), iconButton('close', t('close'), close)),
            h('div', {class: 'now card'}, this.now, h('div', {class: 'progress'}, this.elapsed, this.bar, this.length), this.controls),
            this.#slider('music-mine', -60, 12, 0, db => room.setVolume(db), 3),
            this.lead,
        );
        this.#timer = setInterval(() => this.#showPosition(), EVERY_MS);
        this.off = room.media.on('players', () => this.show());
        this.show();
        this.#load();
    }

    disconnectedCallback() {
        clearInterval(this.#timer);
        this.off?.();
    }

    get #player() {
        const {players} = this.room.media;
        return players.find(({player}) => player === PLAYER) ?? players[0];
    }

    show() {
        const {room} = this;
        const player = this.#player;
        const shown = player?.track === undefined ? null : player;
        const piece = this.#pieces.find(({id}) => id === shown?.track);
        const [title, artist] = this.now.children;
        text(title, shown ? shown.title ?? piece?.title ?? shown.track : t('no-music'));
        text(artist, shown?.artist ?? piece?.artist ?? '');
        const plays = ['playing', 'loading', 'stalled'].includes(player?.status);
        this.play.replaceChildren(iconButton(plays ? 'pause' : 'play', '').firstChild);
        set(this.play, 'aria-label', t(plays ? 'pause' : 'play'));
        this.controls.hidden = !room.leads;
        this.lead.hidden = !room.leads;
        for (const item of this.library.children) item.classList.toggle('current', item.dataset.key === shown?.track);
        list(this.audience, [['everybody', t('everybody')], ...[...room.state.people.values()].map(({user, nick}) => [user, nick || user])],
            ([value]) => value, ([value, words]) => new Option(words, value), () => {});
        this.#showPosition();
    }

    #showPosition() {
        const player = this.#player;
        const length = player?.duration_ms;
        this.bar.disabled = !length || !this.room.leads;
        this.bar.max = length ?? 1;
        if (!this.#dragging) this.bar.value = player ? positionOf(player) : 0;
        text(this.elapsed, player?.track === undefined ? '' : time(this.bar.disabled ? positionOf(player) : Number(this.bar.value)));
        text(this.length, length ? time(length) : '');
    }

    async #load() {
        // The library for everybody: a track that has no title of its own has one there.
        const [sounds] = await Promise.all([this.app.try(() => this.room.sounds()), this.#loadLibrary()]);
        this.board.replaceChildren(...(sounds ?? []).map(sound => h('button', {onclick: () => this.#do(() => this.#effect(sound))}, humanised(sound))));
    }

    async #loadLibrary() {
        try {
            this.#pieces = await this.room.library(this.search.value.trim());
            text(this.empty, t('empty-library'));
        } catch {
            this.#pieces = [];
            text(this.empty, t('no-library'));
        }
        this.empty.hidden = this.#pieces.length > 0;
        list(this.library, this.#pieces, ({id}) => id, piece => h('li', {}, h('button', {onclick: () => this.#do(() => this.#startAt(piece))},
            h('strong', {class: 'grow'}, piece.title || piece.id), h('span', {class: 'quiet'}, [piece.artist, time(1000 * piece.duration_s)].filter(Boolean).join(' · ')))), () => {});
        this.show();
    }

    /** The list from this piece on, and round. */
    #startAt(piece) {
        const index = this.#pieces.indexOf(piece);
        const order = [...this.#pieces.slice(index), ...this.#pieces.slice(0, index)];
        return this.#start(order.map(({id}) => ({media: id, key: id})));
    }

    #start(tracks) {
        return this.room.playMusic({tracks, state: 'playing', volume_db: Number(this.querySelector('[name=volume]').value), repeat: 'all', crossfade_ms: 0});
    }

    #toggle() {
        const player = this.#player;
        if (player?.status === 'playing') return this.room.controlMusic('pause');
        if (player?.track !== undefined) return this.room.controlMusic('play');
        if (this.#pieces.length) return this.#startAt(this.#pieces[0]);
        return undefined;
    }

    #effect(sound) {
        const {value} = this.audience;
        return this.room.playEffect(sound, value === 'everybody' ? {} : {audience: [value]});
    }

    #slider(name, min, max, value, act, step = 1) {
        const output = h('output', {}, `${value} dB`);
        const slider = h('input', {type: 'range', name, min, max, step, value});
        slider.oninput = () => text(output, `${slider.value} dB`);
        slider.onchange = () => this.#do(() => act(Number(slider.value)));
        return h('label', {class: 'slider'}, t(name), slider, output);
    }

    #places() {
        const box = h('input', {type: 'checkbox'});
        box.onchange = () => this.#do(() => this.room.configureSound({places: box.checked}));
        return h('label', {class: 'choice'}, box, t('place'));
    }

    #do(action) {
        return this.app.try(action);
    }
}

const humanised = name => name[0].toUpperCase() + name.slice(1).replaceAll('-', ' ');

function time(milliseconds) {
    const seconds = Math.floor(milliseconds / 1000);
    return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
}

customElements.define('room-music', RoomMusic);
