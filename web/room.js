// The voice-room page: a WHIP session for the microphone, a WHEP session with slots for the others, and the people.
//
//   Room      both sessions, the event stream, who is here; calls `changed` after every change
//   Page      shows a Room; with MusicPanel (music.js), what the room plays, the only part that touches the document

import {reportDelays} from './sdk/delays.js';
import {Refusal, request} from './sdk/http.js';
import {captureAs, constraintsOf, MicrophoneError, openMicrophone} from './sdk/microphone.js';
import {MutedEar} from './sdk/muted-ear.js';
import {preferRedundancy} from './sdk/sdp.js';
import {Session} from './sdk/session.js';
import {statistics} from './sdk/statistics.js';
import {MusicPanel} from './music.js';

// Speakers heard at a time without a mix: audio m-lines of the WHEP offer. ?slots= in the address says otherwise.
const SLOTS = 4;
// How often levels come while somebody speaks; the rings move that often.
const LEVELS_EVERY_MS = 100;
// How long a hint stays; the server gives the next after 5 s at the earliest.
const HINT_MS = 6000;

/** The room as this tab sees it. `state` is 'outside', 'joining', 'inside' or 'lost'; `problem` says why it is lost. */
class Room {
    state = 'outside';
    problem = '';
    notice = '';
    muted = false;
    people = new Map();  // user -> {user, csrc, may_publish, muted_by, publishing, level: dBov, speaking, inSlot}
    players = [];        // {player, status, track, title, artist, position_ms, duration_ms, at, received: when, in s}
    warning = '';        // of one's own microphone
    apiKey = null;       // {id, secret}, in development mode alone
    slots = [];          // {receiver, stream, csrc, csrcs}; a mix has one, with all who are heard in it
    changed = () => {};

    /** Joins `name` as `user`. Refusal, Unreachable or MicrophoneError leave it outside. */
    async join(name, user, {speaks, token, mode = 'mix', slots = SLOTS}) {
        Object.assign(this, {name, user, speaks, mode, muted: false, notice: '', problem: '', slots: [], people: new Map()});
        Object.assign(this, {players: [], warning: '', apiKey: null, hint: ''});
        this.#become('joining');
        try {
            this.microphone = speaks ? await openMicrophone() : null;
            const entry = token
                ? {token, whip: `/whip/${encodeURIComponent(name)}`, whep: `/whep/${encodeURIComponent(name)}`}
                : await this.#developmentEntry();
            this.token = entry.token;
            this.apiKey = entry.api_key ?? null;
            this.hasLibrary = entry.has_library ?? false;
            if (entry.capture && speaks) this.microphone = await captureAs(this.microphone, constraintsOf(entry.capture));
            await Promise.all([this.#listen(entry.whep, mode === 'mix' ? 1 : slots), speaks && this.#speak(entry.whip)]);
        } catch (error) {
            await this.leave();
            throw error;
        }
        this.#become('inside');
    }

    /** Ends everything that join() began. */
    async leave(options) {
        this.#stop();
        const sessions = [this.publisher, this.listener].filter(Boolean);
        this.publisher = this.listener = null;
        this.#become('outside');
        await Promise.all(sessions.map(session => session.close(options)));
    }

    /** Silences the microphone here at once, and then for everybody at the server. */
    async mute(muted) {
        this.#setMuted(muted);
        const path = `/v1/rooms/${encodeURIComponent(this.name)}/speakers/${encodeURIComponent(this.user)}/mutes/self`;
        try {
            await request(path, this.token, {method: muted ? 'PUT' : 'DELETE'});
        } catch (error) {
            // To be heard by mistake is worse than not to be heard, so only the wish to speak can fail.
            if (!muted) this.#setMuted(true);
            this.#tell(error.message);
        }
    }

    async restartIce() {
        await Promise.all([this.publisher, this.listener].map(session => session?.restartIce()));
    }

    statistics() {
        return statistics(this.publisher?.connection, this.listener?.connection);
    }

    async #developmentEntry() {
        const body = JSON.stringify({room: this.name, user: this.user, publish: this.speaks});
        const headers = {'Content-Type': 'application/json'};
        const response = await request('/dev/join', null, {method: 'POST', headers, body}).catch(error => {
            if (error.status !== 404) throw error;
            throw new Refusal(404, {detail: 'This server wants a token: open this page with #token=… at the end.'});
        });
        return response.json();
    }

    async #speak(endpoint) {
        const session = this.publisher = this.#session('publisher');
        const [track] = this.microphone.getAudioTracks();
        track.onended = () => this.#lose('The microphone was disconnected.');
        const transceiver = session.connection.addTransceiver(track, {direction: 'sendonly', streams: [this.microphone]});
        preferRedundancy(transceiver);
        await session.open(endpoint);
    }

    async #listen(endpoint, slots) {
        const session = this.listener = this.#session('listener');
        for (let i = 0; i < slots; i++) {
            const {receiver} = session.connection.addTransceiver('audio', {direction: 'recvonly'});
            this.slots.push({receiver, stream: new MediaStream([receiver.track]), csrc: null, csrcs: []});
        }
        this.poll = setInterval(() => this.#readCsrcs(), 200);
        await session.open(`${endpoint}?mode=${this.mode}`);
        if (session.eventsUrl) await this.#subscribe(session.eventsUrl);
    }

    #session(role) {
        return new Session(this.token, reason => this.#ended(role, reason), () => this.changed());
    }

    /** The WHEP draft's extension: asks for the events by POST, gets the address of the stream. */
    async #subscribe(url) {
        const headers = {'Content-Type': 'application/json'};
        const events = ['sources', 'levels', 'players', 'muted-speech', 'microphone', 'moved', 'moving'];
        const body = JSON.stringify({events, levels_every_ms: LEVELS_EVERY_MS});
        const response = await request(url, this.token, {method: 'POST', headers, body});
        this.events = new EventSource(new URL(response.headers.get('Location'), response.url));
        this.events.addEventListener('sources', ({data}) => this.#setSources(JSON.parse(data).sources));
        this.events.addEventListener('levels', ({data}) => this.#setLevels(JSON.parse(data)));
        this.events.addEventListener('players', ({data}) => this.#setPlayers(JSON.parse(data).players));
        this.events.addEventListener('muted-speech', ({data}) => this.#hintMuted(JSON.parse(data).muted_by));
        this.events.addEventListener('microphone', ({data}) => this.#warn(JSON.parse(data)));
        this.events.addEventListener('moved', ({data}) => this.#move(JSON.parse(data).room));
        reportDelays(this, delays => this.#reportDelays(delays));
        this.events.addEventListener('moving', () => this.#tell('The server is about to restart.'));
    }

    #reportDelays(delays) {
        const path = `/v1/rooms/${encodeURIComponent(this.name)}/participants/${encodeURIComponent(this.user)}/delays`;
        const headers = {'Content-Type': 'application/json'};
        return request(path, this.token, {method: 'PUT', headers, body: JSON.stringify(delays)});
    }

    /** The room service took us to another room, over the connections that we have. */
    #move(name) {
        this.name = name;
        this.people = new Map();
        this.#tell(`You are in ${name} now.`);
    }

    #tell(notice) {
        this.notice = notice;
        this.changed();
    }

    #setSources(sources) {
        const known = this.people;
        const quiet = {level: -127, speaking: false, inSlot: false};
        this.people = new Map(sources.map(source => [source.user, {...quiet, ...known.get(source.user), ...source}]));
        const self = this.people.get(this.user);
        if (self && this.publisher) this.#setMuted(self.muted_by.includes('self'));
        if (self && !self.muted_by.length && this.hint) this.#unhint();
        this.changed();
    }

    #setPlayers(players) {
        const received = Date.now() / 1000;
        this.players = players.map(player => ({...player, received}));
        this.changed();
    }

    /** He talks, and nobody hears him. */
    #hintMuted(sources) {
        clearTimeout(this.hintTimer);
        this.hint = sources.includes('host') ? 'You are muted by the host: nobody hears you.' : 'You are muted: nobody hears you.';
        this.hintTimer = setTimeout(() => this.#unhint(), HINT_MS);
        this.changed();
    }

    #stopEar() {
        this.ear?.stop();
        this.ear = null;
    }

    #unhint() {
        clearTimeout(this.hintTimer);
        this.hint = '';
        this.changed();
    }

    #warn({silent, clipping}) {
        this.warning = silent ? 'Your microphone gives no sound: is it switched off, or the wrong one?'
            : clipping ? 'Your microphone is turned up too far: your voice is distorted.' : '';
        this.changed();
    }

    #setLevels({levels, speaking}) {
        for (const person of this.people.values()) {
            person.speaking = speaking.includes(person.user);
            person.level = levels[person.user] ?? -127;
        }
        this.changed();
    }

    /** Who is heard in which slot: the CSRC of the packets that are being played. */
    #readCsrcs() {
        for (const slot of this.slots) {
            const now = performance.timeOrigin + performance.now();
            const recent = slot.receiver.getContributingSources().filter(({timestamp}) => now - timestamp < 500);
            slot.csrcs = recent.map(({source}) => source);
            slot.csrc = slot.csrcs[0] ?? null;
        }
        const playing = new Set(this.slots.flatMap(({csrcs, csrc}) => this.mode === 'mix' ? csrcs : csrc));
        for (const person of this.people.values()) person.inSlot = playing.has(person.csrc);
        this.changed();
    }

    #setMuted(muted) {
        this.muted = muted;
        const [track] = this.microphone?.getAudioTracks() ?? [];
        if (track) track.enabled = !muted;
        if (!muted || !track) this.#stopEar();
        else this.ear ??= new MutedEar(track, () => this.#hintMuted(['self']));
        this.changed();
    }

    /** A session ended without our asking. */
    async #ended(role, reason) {
        this[role] = null;
        const reached = await fetch('/healthz').then(({ok}) => ok, () => false);
        if (this.state !== 'inside') return;
        if (!reached) this.#lose('The server is gone.');
        else if (reason === 'lost') this.#lose('The connection was lost.');
        else if (role === 'listener') this.#lose('You were removed from the room, or joined it from another tab.');
        else if (this.listener) this.#becomeListener();
    }

    #becomeListener() {
        this.#stopEar();
        this.microphone.getTracks().forEach(track => track.stop());
        Object.assign(this, {microphone: null, speaks: false});
        this.#tell('You can no longer speak here; you go on listening.');
    }

    #lose(problem) {
        if (this.state === 'outside' || this.state === 'lost') return;
        this.#stop();
        for (const session of [this.publisher, this.listener]) session?.close();
        this.publisher = this.listener = null;
        this.people = new Map();
        this.problem = problem;
        this.#become('lost');
    }

    #stop() {
        clearInterval(this.poll);
        clearTimeout(this.hintTimer);
        this.#stopEar();
        this.events?.close();
        this.microphone?.getTracks().forEach(track => {
            track.onended = null;
            track.stop();
        });
        this.microphone = this.events = null;
    }

    #become(state) {
        this.state = state;
        this.changed();
    }
}

/** The document as a view of the room. */
class Page {
    constructor(room) {
        this.room = room;
        this.form = document.getElementById('join');
        this.section = document.getElementById('room');
        this.connection = document.getElementById('connection');
        this.players = [];
        this.music = new MusicPanel(room, problem => this.#tell(problem));
        this.token = new URLSearchParams(location.hash.slice(1)).get('token');
        room.changed = () => this.show();

        this.form.onsubmit = event => {
            event.preventDefault();
            this.join(this.form.role.value === 'speak');
        };
        document.getElementById('mute').onclick = () => room.mute(!room.muted);
        document.getElementById('leave').onclick = () => room.leave();
        document.getElementById('sound').onclick = () => this.play();
        this.connection.ontoggle = () => this.showStatistics();
        addEventListener('pagehide', () => room.leave({keepalive: true}));
        addEventListener('online', () => room.state === 'inside' && room.restartIce().catch(() => {}));
        this.#preselect(new URLSearchParams(location.search));
    }

    /** /?room=lobby&user=ann&listen=1&mode=select fills in the form. */
    #preselect(query) {
        this.slots = Number(query.get('slots')) || undefined;
        for (const name of ['room', 'user']) if (query.get(name)) this.form[name].value = query.get(name);
        if (query.has('listen')) this.form.role.value = 'listen';
        if (this.slots || query.get('mode') === 'select') this.form.mode.value = 'select';
        (query.get('user') ? this.form.querySelector('button') : this.form.user).focus();
    }

    async join(speaks) {
        const {room} = this;
        this.problem = '';
        try {
            const {token, slots} = this;
            const mode = this.form.mode.value;
            await room.join(this.form.room.value, this.form.user.value, {speaks, token, mode, slots});
            document.title = `${room.name} – Voice room`;
            this.play();
            document.getElementById('mute').focus();
        } catch (error) {
            this.problem = error.message;
            this.offersListening = error instanceof MicrophoneError;
            this.show();
        }
    }

    /** An audio element for each slot. A browser that wants a gesture first gets a button for it. */
    async play() {
        this.players = this.room.slots.map(({stream}, i) => {
            const player = this.players[i] ?? new Audio();
            if (player.srcObject !== stream) player.srcObject = stream;
            return player;
        });
        const results = await Promise.allSettled(this.players.map(player => player.play()));
        document.getElementById('sound').hidden = !results.some(({reason}) => reason?.name === 'NotAllowedError');
    }

    show() {
        const {room} = this;
        const inside = room.state === 'inside' || room.state === 'lost';
        this.form.hidden = inside;
        this.section.hidden = !inside;
        this.form.querySelector('button').disabled = room.state === 'joining';
        document.getElementById('title').textContent = room.name ?? '';
        document.getElementById('status').textContent = this.#status();
        const mute = document.getElementById('mute');
        mute.hidden = room.state !== 'inside' || !room.speaks;
        mute.textContent = room.muted ? 'Unmute' : 'Mute';
        mute.classList.toggle('primary', room.muted);
        document.getElementById('leave').textContent = room.state === 'lost' ? 'Back' : 'Leave';
        this.connection.hidden = room.state === 'lost';
        this.#showHint();
        this.#showNotice();
        this.#showPeople();
        this.music.show();
    }

    #tell(problem) {
        this.problem = problem;
        this.show();
    }

    #showHint() {
        const hint = document.getElementById('hint');
        const text = this.room.state === 'inside' ? this.room.hint || this.room.warning || '' : '';
        if (hint.textContent !== text) hint.textContent = text;
        hint.hidden = !text;
    }

    #status() {
        const {room} = this;
        if (room.state === 'lost') return 'Not connected';
        const sessions = [room.publisher, room.listener].filter(Boolean);
        if (!sessions.every(({connected}) => connected)) return 'Connecting…';
        const hears = room.mode === 'mix' ? 'hear the mix' : `hear the ${room.slots.length} loudest`;
        return room.speaks ? `You are here as ${room.user} and ${hears}` : `You listen as ${room.user} and ${hears}`;
    }

    #showNotice() {
        const {room} = this;
        const notice = document.getElementById('notice');
        const text = this.problem || room.problem || room.notice;
        if (notice.dataset.text === text) return;
        notice.dataset.text = text;
        notice.hidden = !text;
        notice.firstElementChild.textContent = text;
        notice.querySelector('.actions').replaceChildren(...this.#actions());
        if (this.section.hidden) this.form.append(notice);
        else this.section.querySelector('header').after(notice);
        notice.querySelector('button')?.focus();
    }

    #actions() {
        const {room} = this;
        if (room.state === 'lost') return [button('Reconnect', () => this.join(room.speaks))];
        if (this.problem && this.offersListening) return [button('Only listen', () => this.join(false))];
        return [];
    }

    #showPeople() {
        const list = document.getElementById('people');
        const people = [...this.room.people.values()];
        while (list.children.length > people.length) list.lastChild.remove();
        people.forEach((person, i) => showPerson(list.children[i] ?? list.appendChild(newPerson()), person, this.room));
    }

    async showStatistics() {
        clearTimeout(this.statisticsTimer);
        if (!this.connection.open) return;
        const {roundTripMs, receivedLoss, jitterMs, bufferMs, sentLoss} = await this.room.statistics();
        const rows = [
            ['Round trip', number(roundTripMs, 'ms')],
            ['Lost on the way here', number(100 * receivedLoss, '%')],
            ['Jitter', number(jitterMs, 'ms')],
            ['Playout delay', number(bufferMs, 'ms')],
            ...this.room.speaks ? [['Lost on the way there', number(100 * sentLoss, '%')]] : [],
        ];
        this.connection.querySelector('dl').replaceChildren(
            ...rows.flatMap(([name, value]) => [element('dt', name), element('dd', value)]));
        this.statisticsTimer = setTimeout(() => this.showStatistics(), 1000);
    }
}

function newPerson() {
    const item = document.createElement('li');
    item.append(element('span', '', 'name'), element('span', '', 'note'));
    return item;
}

function showPerson(item, person, room) {
    const muted = person.muted_by.length > 0 || !person.may_publish;
    item.dataset.user = person.user;
    item.dataset.initials = initials(person.user);
    item.style.setProperty('--hue', hue(person.user));
    // -60 dBov and below shows as silence, -15 and above as full.
    item.style.setProperty('--level', Math.min(1, Math.max(0, (person.level + 60) / 45)).toFixed(2));
    item.classList.toggle('speaking', person.speaking);
    item.classList.toggle('muted', muted || !person.publishing);
    item.classList.toggle('heard', person.inSlot || person.user === room.user);
    item.children[0].textContent = person.user === room.user ? `${person.user} (you)` : person.user;
    item.children[1].textContent = note(person);
}

function note({may_publish, muted_by, publishing, speaking}) {
    if (!publishing) return 'not connected';
    if (!may_publish) return 'may not speak';
    if (muted_by.includes('host')) return 'muted by the host';
    if (muted_by.length) return 'muted';
    return speaking ? 'speaking' : '';
}

const initials = name => [...name.trim()].slice(0, 2).join('').toUpperCase();
const hue = name => [...name].reduce((sum, character) => (31 * sum + character.codePointAt(0)) % 360, 7);
const number = (value, unit) => Number.isFinite(value) ? `${value.toFixed(value < 10 ? 1 : 0)} ${unit}` : '–';

function element(name, text, className = '') {
    return Object.assign(document.createElement(name), {textContent: text, className});
}

function button(text, onclick) {
    return Object.assign(element('button', text, 'primary'), {onclick, type: 'button'});
}

// The room is there for the console, and for tests.
window.room = new Room();
new Page(window.room);
