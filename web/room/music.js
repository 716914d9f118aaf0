import {h, iconButton, list, set, text} from './dom.js';
import {time} from './library.js';
import {t} from './words.js';

const PLAYER = 'music';
const EVERY_MS = 500;
// A clock that is further from the server's than this is wrong: then a position counts from when it was told.
const CLOCK_TOLERANCE_S = 2;
const DUCKING_DB = 12, VOLUME_DB = -6;  // until it is known

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
    #unknown = null;  // the last track that the library was asked for

    follow(app, room, {close, person}) {
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
        this.library = h('room-library');
        this.board = h('div', {class: 'board'});
        this.audience = h('select', {'aria-label': t('for-whom')});
        this.lead = h('div', {class: 'lead'},
            this.#slider('volume', -40, 6, VOLUME_DB, db => room.controlMusic('volume', {volume_db: db})),
            this.#slider('ducking', 0, 30, DUCKING_DB, db => room.configureSound({ducking_db: db})),
            this.#places(),
            this.library,
            h('h3', {}, t('effects')), h('label', {class: 'row'}, t('for-whom'), this.audience), this.board);
        this.replaceChildren(
            h('header', {class: 'bar'}, h('h2', {class: 'grow'}, t('music')), iconButton('close', t('close'), close)),
            h('div', {class: 'now card'}, this.now, h('div', {class: 'progress'}, this.elapsed, this.bar, this.length), this.controls),
            this.#slider('music-mine', -60, 12, room.media.musicVolume, db => room.setVolume(db), 3),
            this.lead,
        );
        this.#timer = setInterval(() => this.#showPosition(), EVERY_MS);
        this.off = room.media.on('players', () => this.show());
        // For everybody: a track that has no title of its own has one there.
        this.library.follow(app, room, {person, panel: this, choose: (pieces, index) => this.#do(() => this.#startAt(pieces, index)), changed: () => this.show()});
        this.show();
        this.#showSettings();
        this.#showBoard();
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
        const piece = this.library.piece(shown?.track);
        const [title, artist] = this.now.children;
        text(title, shown ? shown.title ?? piece?.title ?? shown.track : t('no-music'));
        text(artist, shown?.artist ?? piece?.artist ?? '');
        const plays = ['playing', 'loading', 'stalled'].includes(player?.status);
        this.play.replaceChildren(iconButton(plays ? 'pause' : 'play', '').firstChild);
        set(this.play, 'aria-label', t(plays ? 'pause' : 'play'));
        this.controls.hidden = !room.leads;
        this.lead.hidden = !room.leads;
        this.library.mark(shown?.track);
        if (shown && !shown.title && !piece) this.#askFor(shown.track);
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

    /** A piece that came into the library after it was loaded plays; once, for it may be gone from there. */
    #askFor(track) {
        if (this.library.dataset.state === 'loading' || this.#unknown === track) return;
        this.#unknown = track;
        this.library.reload();
    }

    /** As they are now, whoever set them. */
    async #showSettings() {
        const found = await this.app.try(() => Promise.all([this.#volume(), this.room.soundSettings()]));
        if (!found) return;
        const [volume_db, {ducking_db, places}] = found;
        for (const [name, value] of [['volume', volume_db], ['ducking', ducking_db]]) {
            const slider = this.querySelector(`[name=${name}]`);
            slider.value = value;
            slider.oninput();
        }
        this.querySelector('[name=places]').checked = places;
    }

    async #volume() {
        const players = await this.room.players();
        return players.find(({name}) => name === PLAYER)?.volume_db ?? VOLUME_DB;
    }

    async #showBoard() {
        const sounds = await this.app.try(() => this.room.sounds());
        this.board.replaceChildren(...(sounds ?? []).map(sound => h('button', {onclick: () => this.#do(() => this.#effect(sound))}, humanised(sound))));
    }

    /** The list from this piece on, and round. */
    #startAt(pieces, index) {
        const order = [...pieces.slice(index), ...pieces.slice(0, index)];
        return this.#start(order.map(({id, url}) => url ? {url} : {media: id, key: id}));
    }

    /** As loud as it was, though that was set elsewhere. */
    async #start(tracks) {
        const volume_db = await this.#volume();
        await this.room.playMusic({tracks, state: 'playing', volume_db, repeat: 'all', crossfade_ms: 0});
    }

    #toggle() {
        const player = this.#player;
        if (player?.status === 'playing') return this.room.controlMusic('pause');
        if (player?.track !== undefined) return this.room.controlMusic('play');
        if (this.library.pieces.length) return this.#startAt(this.library.pieces, 0);
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
        const box = h('input', {type: 'checkbox', name: 'places'});
        box.onchange = () => this.#do(() => this.room.configureSound({places: box.checked}));
        return h('label', {class: 'choice'}, box, t('place'));
    }

    #do(action) {
        return this.app.try(action);
    }
}

const humanised = name => name[0].toUpperCase() + name.slice(1).replaceAll(/[-_]/g, ' ');

customElements.define('room-music', RoomMusic);
