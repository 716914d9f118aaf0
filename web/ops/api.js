import {request} from '../sdk/http.js';

/** The control API with one key. All calls throw Refusal or Unreachable (sdk/http.js). */
export class Api {
    constructor(key) {
        this.key = key;
    }

    node() {
        return this.#get('/v1/node');
    }

    /** Counters of /metrics by name, summed over workers; those with a direction have it after their name. */
    async counters() {
        const text = await (await request('/metrics', this.key)).text();
        const found = new Map();
        for (const line of text.split('\n')) {
            const [, name, labels, value] = line.match(/^(\w+_total)(\{[^}]*\})? (\S+)/) ?? [];
            if (!name) continue;
            const [, direction] = labels?.match(/direction="(\w+)"/) ?? [];
            const key = direction ? `${name} ${direction}` : name;
            found.set(key, (found.get(key) ?? 0) + Number(value));
        }
        return found;
    }

    async rooms(prefix) {
        const {rooms, next} = await this.#get(`/v1/rooms?limit=100&prefix=${encodeURIComponent(prefix)}`);
        return {rooms, more: next !== undefined && next !== null};
    }

    async participants(room) {
        return (await this.#get(`${path(room)}/participants?limit=200`)).participants;
    }

    speakers(room) {
        return this.#get(path(room)).then(({speakers}) => speakers ?? {});
    }

    matrix(room) {
        return this.#get(`${path(room)}/matrix?limit=40`);
    }

    /** By the system, so that neither he nor the host undoes it. */
    mute(room, user, muted) {
        return request(`${path(room, 'speakers', user)}/mutes/system`, this.key, {method: muted ? 'PUT' : 'DELETE'});
    }

    kick(room, user) {
        return request(path(room, 'participants', user), this.key, {method: 'DELETE'});
    }

    async #get(address) {
        return (await request(address, this.key)).json();
    }
}

const path = (room, ...segments) => `/v1/rooms/${[room, ...segments].map(encodeURIComponent).join('/')}`;
