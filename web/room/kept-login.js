/** Where the login is kept: in the tab, so that two tabs may be two users. With outliveTab() also in the browser, whose next
    tab finds it. An Account's `store`. */
export class KeptLogin {
    #key;

    constructor(key) {
        this.#key = key;
    }

    get outlivesTab() {
        const own = sessionStorage.getItem(this.#key);
        return own !== null && isOfSame(own, localStorage.getItem(this.#key));
    }

    outliveTab(outlives) {
        const own = sessionStorage.getItem(this.#key);
        if (outlives && own) localStorage.setItem(this.#key, own);
        else if (this.outlivesTab) localStorage.removeItem(this.#key);
    }

    getItem(key) {
        if (sessionStorage.getItem(key) === null && localStorage.getItem(key) !== null) sessionStorage.setItem(key, localStorage.getItem(key));
        return sessionStorage.getItem(key);
    }

    setItem(key, value) {
        if (isOfSame(value, localStorage.getItem(key))) localStorage.setItem(key, value);
        sessionStorage.setItem(key, value);
    }

    removeItem(key) {
        this.outliveTab(false);
        sessionStorage.removeItem(key);
    }
}

/** Which browser this is, for the service: two of a user are two devices. */
export function deviceOfBrowser() {
    const kept = localStorage.getItem('voicerooms.device');
    if (kept) return kept;
    const made = `browser-${[...crypto.getRandomValues(new Uint8Array(8))].map(byte => byte.toString(16).padStart(2, '0')).join('')}`;
    localStorage.setItem('voicerooms.device', made);
    return made;
}

const userOf = tokens => tokens === null ? null : JSON.parse(tokens).user;

function isOfSame(one, other) {
    return one !== null && other !== null && userOf(one) === userOf(other);
}
