import {element, number, showRows} from './dom.js';

// A colour for each gain: silence is empty, 0 dB is full, above is warm.
const SILENCE_DB = -60;
// Of a level (RFC 6464); at -127 there is nothing.
const QUIETEST_DBOV = -100;

/** One room: who is in it and how well he is connected, and its gain matrix as a heat map. */
export class RoomView {
    /** act(question, action): does it, if there is no question or the answer is yes. */
    constructor(api, act) {
        Object.assign(this, {api, act, name: null});
        this.section = document.getElementById('room');
        document.getElementById('close').onclick = () => this.close();
        document.querySelector('#people tbody').onclick = ({target}) => this.#pressed(target.closest('button')?.dataset);
    }

    async open(name) {
        this.name = name;
        this.section.hidden = false;
        document.getElementById('room-title').textContent = name;
        await this.refresh();
        document.getElementById('room-title').focus();
    }

    close() {
        this.name = null;
        this.section.hidden = true;
    }

    async refresh() {
        const {name} = this;
        if (name === null) return;
        const problem = document.getElementById('room-problem');
        try {
            const [people, speakers, matrix] = await Promise.all(
                [this.api.participants(name), this.api.speakers(name), this.api.matrix(name)]);
            if (name !== this.name) return;
            this.#showPeople(people, speakers);
            this.#showMatrix(matrix);
            problem.hidden = true;
        } catch (error) {
            if (name !== this.name) return;
            problem.textContent = error.status === 404 ? 'This room has been closed.' : error.message;
            problem.hidden = false;
        }
    }

    #showPeople(people, speakers) {
        document.getElementById('nobody').hidden = people.length > 0;
        showRows(document.querySelector('#people tbody'), speakersFirst(people), ({user}) => user, person => {
            const sessions = Object.fromEntries(person.sessions.map(session => [session.direction, session]));
            const {publish, listen} = sessions;
            return [
                element('th', person.user, {scope: 'row'}),
                level(publish),
                element('td', state(person, publish)),
                number(percent(publish?.fraction_lost), '%'),
                number(percent(listen?.fraction_lost), '%'),
                number(publish?.jitter_ms ?? listen?.jitter_ms, 'ms'),
                number(publish?.round_trip_ms ?? listen?.round_trip_ms, 'ms'),
                number(publish?.playout_delay_ms, 'ms'),
                actions(person.user, speakers[person.user]),
            ];
        });
    }

    #pressed({action, user} = {}) {
        const {api, name} = this;
        if (action === 'mute') this.act(`Mute ${user} for everybody, until an operator undoes it?`, () => api.mute(name, user, true));
        if (action === 'unmute') this.act(null, () => api.mute(name, user, false));
        if (action === 'kick') this.act(`Remove ${user} from the room? His seat is taken and his tokens end.`, () => api.kick(name, user));
    }

    #showMatrix({columns, rows: mixes, mixes: count}) {
        const shown = count > mixes.length ? `, of which the ${mixes.length} largest are shown` : '';
        document.getElementById('matrix-text').textContent = count
            ? `${count} ${count === 1 ? 'mix' : 'mixes'}${shown}. A row hears what its cells say, in dB.`
            : 'Nobody listens to a mix.';
        const head = element('tr');
        head.append(element('th', count ? 'Listeners' : '', {scope: 'col'}));
        for (const {kind, name, gain_db} of count ? columns : []) {
            const title = element('th', name, {scope: 'col', className: kind});
            title.title = `${KINDS[kind]} ${name}, ${gain_db <= SILENCE_DB ? 'silent for everybody' : `${gain_db} dB for everybody`}`;
            head.append(title);
        }
        document.querySelector('#matrix thead').replaceChildren(head);
        document.querySelector('#matrix tbody').replaceChildren(...mixes.map(({listeners, users, gains_db}) => {
            const row = element('tr');
            const who = listeners === 1 ? users[0] : `${listeners} listeners`;
            row.append(element('th', who ?? '', {scope: 'row', title: users.join(', ')}));
            row.append(...gains_db.map(gain => cell(gain)));
            return row;
        }));
    }
}

const KINDS = {voice: 'Voice of', player: 'Music', tap: 'Music for who has no seat:', effect: 'Effect'};
const speakersFirst = people => [...people].sort((a, b) => b.may_publish - a.may_publish);
const percent = share => share === undefined ? undefined : 100 * share;

function actions(user, speaker) {
    const group = element('div', '', {className: 'actions'});
    if (speaker) group.append(speaker.mutes?.system ? action('unmute', 'Unmute', user) : action('mute', 'Mute', user));
    group.append(action('kick', 'Remove', user));
    const cell = element('td');
    cell.append(group);
    return cell;
}

function action(name, text, user) {
    const button = element('button', text, {type: 'button', ariaLabel: `${text} ${user}`});
    Object.assign(button.dataset, {action: name, user});
    return button;
}

function cell(gain_db) {
    const silent = gain_db <= SILENCE_DB;
    const td = element('td', silent ? '–' : String(Math.round(gain_db)), {className: silent ? 'silent' : gain_db > 0 ? 'hot' : 'heard'});
    // -30 dB and below is pale, 0 dB is full.
    td.style.setProperty('--heat', silent ? 0 : Math.min(1, Math.max(0.12, 1 + gain_db / 30)).toFixed(2));
    return td;
}

function level(publish) {
    const td = element('td');
    if (!publish) return td;
    const meter = element('span', '', {className: `meter${publish.speaking ? ' speaking' : ''}`});
    meter.style.setProperty('--level', Math.min(1, Math.max(0, (publish.level_dbov + 60) / 55)).toFixed(2));
    td.append(meter, element('span', publish.level_dbov > QUIETEST_DBOV ? `${Math.round(publish.level_dbov)} dBov` : 'silent', {className: 'quiet'}));
    return td;
}

function state(person, publish) {
    if (person.reconnecting) return 'reconnecting';
    if (person.muted_by.length) return `muted by ${person.muted_by.join(' and ')}`;
    if (publish?.state && publish.state !== 'connected') return publish.state;
    if (publish?.silent) return 'microphone gives no sound';
    if (publish?.clipping) return 'microphone too loud';
    if (publish?.speaking) return 'speaking';
    return publish ? 'connected' : 'listening';
}
