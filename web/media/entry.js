// How one comes into a room of a media server that has no room service beside it: in development mode whoever asks, else with
// a token in the page's address (#token=…), which the owner of the room has made.

import {Refusal, request, Unreachable} from '/sdk/http.js';

/** What Media asks for its addresses, and what else a page may do in the room. */
export class Entry {
    token = '';
    apiKey = null;       // {id, secret}, in development mode alone
    hasLibrary = false;
    stops = false;       // the server has said so, or could not be reached; until both sessions are there again
    #given;

    constructor({room, user, speaks, token}) {
        Object.assign(this, {room, user, speaks});
        this.#given = token;
    }

    /** As Media's option; `why` is how the connection before ended. */
    async addresses(why) {
        if (why === 'closed') await this.#checkPlace();
        const whip = `/whip/${encodeURIComponent(this.room)}`;
        const entry = this.#given ? {token: this.#given, whip, whep: whip.replace('whip', 'whep')} : await this.#join();
        this.token = entry.token;
        this.apiKey = entry.api_key ?? null;
        this.hasLibrary = entry.has_library ?? false;
        const withToken = path => `${path}#token=${entry.token}`;
        return {whep: withToken(entry.whep), whip: this.speaks ? withToken(entry.whip) : '', capture: entry.capture};
    }

    /** A call of the control API: with the API key where there is one, else with one's own token. The answer's JSON; null when it is empty. */
    async call(path, {method = 'GET', body, token = this.apiKey} = {}) {
        const type = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json';
        const options = body === undefined ? {} : {headers: {'Content-Type': type}, body: JSON.stringify(body)};
        const response = await request(path, token, {method, ...options});
        const text = await response.text();
        return text ? JSON.parse(text) : null;
    }

    /** Of the control API, below the room. */
    path(...parts) {
        return ['/v1/rooms', ...[this.room, ...parts].map(encodeURIComponent)].join('/');
    }

    /** The server closed a session. If it is still there, then somebody was removed, or has joined from elsewhere. */
    async #checkPlace() {
        const reached = await fetch('/healthz').then(({ok}) => ok, () => false);
        if (reached && !this.stops) throw new Refusal(403, {detail: 'You were removed from the room, or joined it from another tab.'});
        this.stops = true;
        if (!reached) throw new Unreachable();
    }

    async #join() {
        const body = {room: this.room, user: this.user, publish: this.speaks};
        try {
            return await this.call('/dev/join', {method: 'POST', body, token: null});
        } catch (error) {
            if (error.status !== 404) throw error;
            throw new Refusal(404, {detail: 'This server wants a token: open this page with #token=… at the end.'});
        }
    }
}
