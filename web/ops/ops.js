// The operator's view of a media server: how it does, its rooms, and one of them in detail.
//
//   Api       the control API (api.js)        Chart     five minutes of a few numbers (chart.js)
//   Overview  tiles, charts, list of rooms    RoomView  participants and the gain matrix (room.js)

import {Refusal} from '../sdk/http.js';
import {Api} from './api.js';
import {Chart} from './chart.js';
import {count, element, number, showRows} from './dom.js';
import {RoomView} from './room.js';

const EVERY_MS = 2000;
const KEPT = 'operator key';
const SHOWN_TALKERS = 4;

class Overview {
    #before = null;

    constructor(api, open) {
        Object.assign(this, {api, open});
        this.charts = {
            cpu: new Chart('Packet threads', {unit: '% of a core each', top: 20, limit: 85}),
            late: new Chart('Ticks late, 99th percentile', {unit: 'ms', top: 2, limit: 5, digits: 1}),
            packets: new Chart('Packets in · out', {unit: '/s', top: 10}),
            encoders: new Chart('Frames encoded · passed through', {unit: '/s', top: 10}),
            lost: new Chart('Lost on the way in · out', {unit: '/s', top: 5, digits: 1}),
            dropped: new Chart('Dropped for overload', {unit: '/s', top: 1, limit: 0.5, digits: 1}),
        };
        document.getElementById('charts').replaceChildren(...Object.values(this.charts).map(({element}) => element));
        document.querySelector('#rooms tbody').onclick = ({target}) => {
            const {room} = target.closest('button')?.dataset ?? {};
            if (room !== undefined) this.open(room);
        };
        document.getElementById('search').oninput = () => this.refresh();
    }

    async refresh() {
        const search = document.getElementById('search').value;
        const [node, counters, {rooms, more}] = await Promise.all([this.api.node(), this.api.counters(), this.api.rooms(search)]);
        this.#showNode(node, rooms, more);
        this.#showRates(node, counters);
        this.#showRooms(rooms, search);
    }

    #showNode({version, uptime_s, draining, rooms: roomCount, sessions, workers}, rooms, more) {
        document.getElementById('version').textContent = `${version}, up for ${duration(uptime_s)}`;
        const late = Math.max(...workers.map(({tick_late_p99_ms}) => tick_late_p99_ms));
        const busy = Math.max(...workers.map(({cpu_share}) => cpu_share));
        const health = document.getElementById('health');
        const trouble = late > 5 ? 'Ticks are late: listeners may hear it.' : busy > 0.85 ? 'A packet thread is nearly full.' : '';
        health.textContent = trouble || (draining ? 'Draining: it takes no new rooms.' : 'All is well.');
        health.className = trouble ? 'bad' : draining ? 'fair' : 'good';
        const talking = rooms.reduce((sum, {talking}) => sum + talking.length, 0);
        const tiles = [
            ['Rooms', roomCount], ['Talking now', more ? `${talking}+` : talking], ['Publishing', sessions.publish], ['Listening', sessions.listen],
            ['Mixes', workers.reduce((sum, {mixes}) => sum + mixes, 0)],
        ];
        document.getElementById('tiles').replaceChildren(...tiles.map(([name, value]) => {
            const tile = element('div');
            tile.append(element('dt', name), element('dd', Number.isFinite(value) ? value.toLocaleString() : value));
            return tile;
        }));
    }

    #showRates({workers}, counters) {
        const names = index => workers.length > 1 ? `worker ${index}` : 'worker';
        const each = of => Object.fromEntries(workers.map((worker, i) => [names(i), of(worker)]));
        this.charts.cpu.add(each(({cpu_share}) => 100 * cpu_share));
        this.charts.late.add(each(({tick_late_p99_ms}) => tick_late_p99_ms));
        const now = performance.now() / 1000;
        const total = name => counters.get(`mediaserver_${name}`) ?? 0;
        const latest = {
            in: total('plane_rtp_received_total'), out: total('plane_datagrams_sent_total'),
            encoded: total('plane_frames_encoded_total'), passed: total('plane_frames_passed_total'),
            lostIn: total('rtp_packets_lost_total publish'), lostOut: total('rtp_packets_lost_total listen'), dropped: total('plane_dropped_overload_total'),
        };
        const before = this.#before;
        this.#before = {now, latest};
        if (!before) return;
        const rate = name => Math.max(0, (latest[name] - before.latest[name]) / (now - before.now));
        this.charts.packets.add({in: rate('in'), out: rate('out')});
        this.charts.encoders.add({encoded: rate('encoded'), passed: rate('passed')});
        this.charts.lost.add({in: rate('lostIn'), out: rate('lostOut')});
        this.charts.dropped.add({dropped: rate('dropped')});
    }

    #showRooms(rooms, search) {
        const empty = document.getElementById('no-rooms');
        empty.hidden = rooms.length > 0;
        empty.textContent = search ? 'No room’s name begins so.' : 'There are no rooms yet. A room service makes them.';
        document.getElementById('rooms').hidden = !rooms.length;
        showRows(document.querySelector('#rooms tbody'), rooms, ({name}) => name, room => {
            const name = element('th', '', {scope: 'row'});
            const button = element('button', room.name, {type: 'button', className: 'link'});
            button.dataset.room = room.name;
            name.append(button);
            return [
                name, element('td', talkers(room.talking)), count(room.speakers), count(room.publishing), count(room.listening),
                number(100 * room.fraction_lost, '%'), element('td', room.scenario),
            ];
        });
    }
}

const talkers = users => users.slice(0, SHOWN_TALKERS).join(', ') + (users.length > SHOWN_TALKERS ? ` and ${users.length - SHOWN_TALKERS} more` : '');

function duration(seconds) {
    if (seconds < 120) return `${Math.round(seconds)} s`;
    if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
    return seconds < 172800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86400)} days`;
}

/** Asks in a dialog. */
function sure(question) {
    const dialog = document.getElementById('sure');
    dialog.querySelector('p').textContent = question;
    dialog.returnValue = 'no';
    dialog.showModal();
    return new Promise(resolve => {
        dialog.onclose = () => resolve(dialog.returnValue === 'yes');
    });
}

/** The page: a key is asked for, then everything is looked at every two seconds while somebody looks. */
class Page {
    #timer = 0;

    constructor() {
        this.form = document.getElementById('key');
        this.board = document.getElementById('board');
        this.form.onsubmit = event => {
            event.preventDefault();
            const {id, secret} = Object.fromEntries(new FormData(this.form));
            this.show({id, secret});
        };
        document.getElementById('forget').onclick = () => this.ask('');
        document.addEventListener('visibilitychange', () => this.#look());
        const kept = sessionStorage.getItem(KEPT);
        if (kept) this.show(JSON.parse(kept));
        else this.ask('');
    }

    ask(problem) {
        clearTimeout(this.#timer);
        sessionStorage.removeItem(KEPT);
        this.overview = null;
        this.board.hidden = true;
        this.form.hidden = false;
        this.form.elements.namedItem('secret').value = '';
        this.#problem(problem);
        this.form.elements.namedItem('id').focus();
    }

    async show(key) {
        const api = new Api(key);
        try {
            await api.node();
        } catch (error) {
            return this.ask(error.status === 401 ? 'There is no such key, or its secret is another.' : error.message);
        }
        sessionStorage.setItem(KEPT, JSON.stringify(key));
        this.form.hidden = true;
        this.board.hidden = false;
        this.room = new RoomView(api, (question, action) => this.act(question, action));
        this.room.close();
        this.overview = new Overview(api, name => this.room.open(name));
        await this.#look();
    }

    async act(question, action) {
        if (question && !await sure(question)) return;
        try {
            await action();
        } catch (error) {
            this.#health(error.status === 403 ? 'This key may only look.' : error.message);
            return;
        }
        await this.room.refresh();
    }

    async #look() {
        clearTimeout(this.#timer);
        if (!this.overview || document.hidden) return;
        try {
            await Promise.all([this.overview.refresh(), this.room.refresh()]);
        } catch (error) {
            if (error instanceof Refusal && error.status === 401) return this.ask('The key is no longer good.');
            this.#health(error.message);
        }
        this.#timer = setTimeout(() => this.#look(), EVERY_MS);
    }

    #health(text) {
        Object.assign(document.getElementById('health'), {textContent: text, className: 'bad'});
    }

    #problem(text) {
        const problem = this.form.querySelector('.problem');
        Object.assign(problem, {textContent: text, hidden: !text});
    }
}

window.page = new Page();
