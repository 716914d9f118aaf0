import {Refusal, request} from './http.js';

// A token is replaced so long before it ends.
const EARLY_S = 60;

/** Who the user is to the room service: logs in by name and password, and keeps the tokens of this device fresh.
 *
 * `store`: where they outlive the page, like sessionStorage or localStorage; null keeps them in memory. */
export class Account {
    #tokens = null;
    #refreshing = null;

    constructor({base = '', store = null, key = 'voicerooms.account'} = {}) {
        Object.assign(this, {base, store, key});
        this.#tokens = JSON.parse(store?.getItem(key) ?? 'null');
    }

    /** The id, or '' before logIn(). */
    get user() {
        return this.#tokens?.user ?? '';
    }

    get device() {
        return this.#tokens?.device ?? '';
    }

    /** Refusal when the password is wrong, Unreachable. */
    async logIn(username, password, {device_id} = {}) {
        this.#keep(await this.#post('/v1/login', {username, password, device_id}));
    }

    /** An access token that is good now. Refusal: log in again. */
    async token() {
        const tokens = this.#tokens;
        if (!tokens) throw new Refusal(401, {title: 'Nobody has logged in.'});
        if (Date.now() / 1000 < tokens.access_until - EARLY_S) return tokens.access_token;
        this.#refreshing ??= this.#refresh(tokens).finally(() => {
            this.#refreshing = null;
        });
        return this.#refreshing;
    }

    /** Knows them no more; the service does. */
    forget() {
        this.#keep(null);
    }

    /** Ends the tokens of this device, here in any case. */
    async logOut() {
        const token = await this.token().catch(() => null);
        this.forget();
        if (token) await request(`${this.base}/v1/logout`, token, {method: 'POST'}).catch(() => {});
    }

    async #refresh({refresh_token}) {
        try {
            this.#keep(await this.#post('/v1/tokens:refresh', {refresh_token}));
        } catch (error) {
            if (error.status === 401 || error.status === 403) this.#keep(null);
            throw error;
        }
        return this.#tokens.access_token;
    }

    async #post(path, body) {
        const headers = {'Content-Type': 'application/json'};
        return (await request(this.base + path, null, {method: 'POST', headers, body: JSON.stringify(body)})).json();
    }

    #keep(tokens) {
        this.#tokens = tokens;
        if (tokens) this.store?.setItem(this.key, JSON.stringify(tokens));
        else this.store?.removeItem(this.key);
    }
}
