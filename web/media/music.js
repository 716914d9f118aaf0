// What the room plays: a song with its position, for everybody; what a participant's token may change; and, with the API
// key that a page has in development mode alone, all the rest: the library, the player, effects, ducking, voice effects.

import {request} from '/sdk/http.js';

const PLAYER = 'music';
const MAX_TRACKS = 500;
const SHOWN_EVERY_MS = 500;
// A clock that is further from the server's than this is wrong: then a position counts from when it was told.
const CLOCK_TOLERANCE_S = 2;
// What a room has that says nothing else.
const DUCKING_DB = 12;
const VOICES = ['room', 'hall', 'plate', 'higher', 'lower', 'robot', 'telephone'];
const PUBLIC = {everybody: 'everybody', listeners: 'who only listens', speakers: 'who can speak'};

/** Where a player is now, in ms: `position_ms` was in the mix at `at`, by the server's clock; `delay_ms` later for those who have
    no seat, where singers sing to it. */
export function positionOf({status, position_ms = 0, duration_ms = Infinity, delay_ms = 0, at, received}, hasSeat) {
    if (status !== 'playing') return position_ms;
    const now = Date.now() / 1000;
    const since = Math.abs(received - (at ?? 0)) < CLOCK_TOLERANCE_S ? at : received;
    return Math.min(Math.max(0, position_ms + 1000 * (now - since) - (hasSeat ? 0 : delay_ms)), duration_ms);
}

export class MusicPanel {
    #media = null;
    #entry = null;
    #mode = 'mix';
    #loaded = null;       // the listening session for which everything was asked for
    #timer = 0;
    #library = null;      // documents of the media library; null: there is none
    #asked = null;        // the last track that the library was asked for
    #dragging = false;
    #people = '';
    #problem = '';

    /** `tell(problem)` shows a sentence. */
    constructor(tell) {
        this.tell = tell;
        this.section = document.getElementById('music');
        const at = selector => this.section.querySelector(selector);
        this.at = at;
        at('.play').onclick = () => this.#do(() => this.#toggle());
        at('.previous').onclick = () => this.#do(() => this.#ask('previous'));
        at('.next').onclick = () => this.#do(() => this.#ask('next'));
        at('.position').oninput = () => { this.#dragging = true; this.show(); };
        at('.position').onchange = event => this.#do(async () => {
            const position = Number(event.target.value);
            this.#dragging = false;
            await this.#ask('seek', {position_ms: position});
        });
        this.#slider('.volume', db => this.#patchPlayer({volume_db: db}));
        this.#slider('.ducking', db => this.#patchRoom({mix: {ducking_db: db}}));
        this.#slider('.own-volume', db => this.#patchOwn({music_gain_db: db}));
        const voice = at('.voice-effect');
        voice.append(new Option('as it is', ''), ...VOICES.map(name => new Option(humanised(name), name)));
        voice.onchange = () => this.#do(() => this.#patchRoom({speakers: {[this.#entry.user]: {voice_effect: voice.value || null}}}));
        at('.upload input').onchange = event => this.#do(() => this.#upload(event.target));
    }

    /** media: null outside. */
    follow(media, entry = null, mode = 'mix') {
        this.#media = media;
        this.#entry = entry;
        this.#mode = mode;
        this.#loaded = this.#library = null;
        clearInterval(this.#timer);
        if (media) this.#timer = setInterval(() => this.show(), SHOWN_EVERY_MS);
        this.show();
    }

    show() {
        const {at} = this;
        const media = this.#media;
        const hosts = Boolean(this.#entry?.apiKey);
        const player = this.#player();
        this.section.hidden = !media || !(hosts || player);
        if (this.section.hidden) return;
        if (this.#loaded !== media.listener && media.listener) this.#load();
        for (const element of this.section.querySelectorAll('.host')) element.hidden = !hosts;
        at('.own').hidden = this.#mode !== 'mix';
        at('.voice').hidden = !hosts || !this.#entry.speaks;
        at('.library').hidden = !hosts || !this.#library;
        this.#showPlayer(player);
        if (hosts) this.#showAudience();
    }

    #player() {
        const players = this.#media?.players ?? [];
        return players.find(({player}) => player === PLAYER) ?? players[0];
    }

    #showPlayer(player) {
        const {at} = this;
        const shown = player?.track !== undefined ? player : null;
        const known = this.#library?.find(({id}) => id === shown?.track);
        if (shown && !shown.title && !known) this.#askFor(shown.track);
        at('.title').textContent = shown ? shown.title ?? known?.title ?? 'Untitled' : 'Nothing is playing';
        at('.artist').textContent = shown?.artist ?? known?.artist ?? '';
        const plays = player?.status === 'playing' || player?.status === 'loading' || player?.status === 'stalled';
        at('.play').classList.toggle('plays', plays);
        at('.play').setAttribute('aria-label', plays ? 'Pause' : 'Play');
        at('.play').disabled = !player && !this.#library?.length;
        for (const name of ['.previous', '.next']) at(name).disabled = !shown;
        const bar = at('.position');
        const length = shown?.duration_ms ?? (known ? 1000 * known.duration_s : undefined);
        bar.disabled = !shown || !length || !this.#entry.apiKey;
        bar.max = length ?? 1;
        if (!this.#dragging) bar.value = shown ? positionOf(shown, this.#media.people.has(this.#entry.user)) : 0;
        at('.elapsed').textContent = time(shown ? Number(bar.value) : 0);
        at('.length').textContent = length ? time(length) : '';
        for (const item of at('.pieces').children) {
            item.classList.toggle('current', item.dataset.media === shown?.track);
        }
    }

    #showAudience() {
        const users = [...this.#media.people.keys()];
        if (this.#people === users.join('\n')) return;
        this.#people = users.join('\n');
        const select = this.at('.audience');
        const chosen = select.value;
        select.replaceChildren(
            ...Object.entries(PUBLIC).map(([name, text]) => new Option(text, name)),
            ...users.map(user => new Option(`${user} alone`, `user:${user}`)));
        select.value = chosen;
        if (!select.value) select.value = 'everybody';
    }

    /** Everything that no event tells. */
    async #load() {
        const entry = this.#entry;
        this.#loaded = this.#media.listener;
        await this.#do(async () => {
            if (this.#mode === 'mix') {
                const own = await entry.call(this.#own(), {token: entry.token});
                this.#set('.own-volume', own.music_gain_db ?? 0);
            }
            if (!entry.apiKey) return;
            const [state, {sounds}] = await Promise.all([entry.call(entry.path()), entry.call('/v1/sounds')]);
            this.#set('.ducking', state.mix.ducking_db ?? (state.scenario === 'ktv' ? 0 : DUCKING_DB));
            this.#set('.volume', state.players?.[PLAYER]?.volume_db ?? -6);
            this.at('.voice-effect').value = state.speakers[entry.user]?.voice_effect ?? '';
            this.at('.board').replaceChildren(...sounds.map(sound => button(humanised(sound), () => this.#do(() => this.#effect(sound)))));
            if (entry.hasLibrary) await this.#loadLibrary();
        });
    }

    /** A piece that came into the library after it was loaded; once, for it may be gone from there, or never have been. */
    #askFor(track) {
        if (!this.#library || this.#asked === track) return;
        this.#asked = track;
        this.#do(() => this.#loadLibrary());
    }

    async #loadLibrary() {
        this.#library = (await this.#entry.call('/v1/media?limit=100')).media;
        this.at('.pieces').replaceChildren(...this.#library.map(piece => this.#piece(piece)));
        this.show();
    }

    #piece({id, title, artist, duration_s}) {
        const item = document.createElement('li');
        item.dataset.media = id;
        const play = button('', () => this.#do(() => this.#play(id)));
        play.className = 'piece';
        play.append(span(title ?? 'Untitled', 'name'), span(artist ?? '', 'artist'), span(time(1000 * duration_s), 'length'));
        item.append(play);
        return item;
    }

    /** The whole library is the playlist, so that there is a next. */
    async #play(id) {
        const tracks = this.#library.slice(0, MAX_TRACKS).map(piece => ({media: piece.id, key: piece.id}));
        if (this.#media.players.some(({player}) => player === PLAYER)) {
            await this.#patchPlayer({tracks});
        } else {
            const volume_db = Number(this.at('.volume').value);
            await this.#entry.call(this.#entry.path('players', PLAYER), {method: 'PUT', body: {tracks, volume_db, state: 'paused'}});
        }
        await this.#ask('play', {track: id});
    }

    async #toggle() {
        const player = this.#player();
        if (this.at('.play').classList.contains('plays')) await this.#patchPlayer({state: 'paused'});
        else if (player?.status === 'paused') await this.#ask('play', {});
        else await this.#play(player?.track ?? this.#library[0].id);
    }

    async #upload(input) {
        const [file] = input.files;
        if (!file) return;
        const status = this.at('.uploading');
        status.textContent = `${file.name} is on its way…`;
        try {
            const type = file.type.startsWith('audio/') ? file.type : 'application/octet-stream';
            const title = new URLSearchParams({title: file.name.replace(/\.[^.]*$/, '').slice(0, 200)});
            await request(`/v1/media?${title}`, this.#entry.apiKey, {method: 'POST', headers: {'Content-Type': type}, body: file});
            await this.#loadLibrary();
        } finally {
            status.textContent = '';
            input.value = '';
        }
    }

    async #effect(sound) {
        const chosen = this.at('.audience').value;
        const audience = chosen.startsWith('user:') ? [chosen.slice(5)] : chosen;
        await this.#entry.call(this.#entry.path('effects'), {method: 'POST', body: {sound, audience}});
    }

    #ask(what, body) {
        return this.#entry.call(this.#entry.path('players', this.#player()?.player ?? PLAYER, what), {method: 'POST', body});
    }

    #patchPlayer(patch) {
        if (!this.#player()) return null;  // it will have the volume when it is made
        return this.#entry.call(this.#entry.path('players', this.#player().player), {method: 'PATCH', body: patch});
    }

    #patchRoom(patch) {
        return this.#entry.call(this.#entry.path(), {method: 'PATCH', body: patch});
    }

    #patchOwn(patch) {
        return this.#entry.call(this.#own(), {method: 'PATCH', body: patch, token: this.#entry.token});
    }

    #own() {
        return this.#entry.path('listeners', this.#entry.user);
    }

    /** A slider that acts when it has rested for a moment. */
    #slider(selector, act) {
        const slider = this.at(selector);
        let timer = 0;
        slider.oninput = () => {
            this.#say(slider);
            clearTimeout(timer);
            timer = setTimeout(() => this.#do(() => act(Number(slider.value))), 200);
        };
    }

    #set(selector, value) {
        const slider = this.at(selector);
        if (document.activeElement === slider) return;
        slider.value = value;
        this.#say(slider);
    }

    /** What the slider's value means. */
    #say(slider) {
        slider.nextElementSibling.textContent = MEANINGS[slider.className](Number(slider.value));
    }

    async #do(action) {
        let problem = '';
        try {
            await action();
        } catch (error) {
            problem = error.message;
        }
        if (problem !== this.#problem) this.tell(problem);
        this.#problem = problem;
    }
}

const decibels = value => `${value > 0 ? '+' : value < 0 ? '−' : ''}${Math.abs(value)} dB`;
const MEANINGS = {
    'volume': decibels,
    'ducking': value => value ? `−${value} dB` : 'off',
    'own-volume': value => value <= -60 ? 'off' : decibels(value),
};
const humanised = name => name[0].toUpperCase() + name.slice(1).replaceAll('_', ' ');

function time(ms) {
    const s = Math.floor(ms / 1000);
    return `${Math.floor(s / 60)}:${String(s % 60).padStart(2, '0')}`;
}

function span(text, className) {
    return Object.assign(document.createElement('span'), {textContent: text, className});
}

function button(text, onclick) {
    return Object.assign(document.createElement('button'), {textContent: text, type: 'button', onclick});
}
