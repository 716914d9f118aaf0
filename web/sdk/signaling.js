import {backoff, pause} from './backoff.js';
import {Emitter} from './emitter.js';
import {Refusal} from './http.js';
import {RpcError} from './rpc-error.js';
import {upload} from './upload.js';

export {RpcError};

// How long a call waits for its answer; a connection that is made anew meanwhile counts.
const ANSWER_MS = 15000;
// How long a connection may take to be made and greeted, and one that the browser has just come back online with to say that
// it lives.
const OPEN_MS = 10000;
const ALIVE_MS = 3000;
// Close codes after which it is no use to come again (docs/rooms.md): another device has taken this one's place, or the user
// has logged out of it. A token that has run out is none of them: token() gives a new one.
const FINAL = new Map([[4002, 'replaced'], [4006, 'unauthorised']]);

/** One WebSocket to the room service, kept up: JSON-RPC 2.0 calls, and notifications of which none is missed.
 *
 * Events
 * - `state`: 'closed', 'connecting', 'connected' or 'reconnecting'
 * - `event`: {stream, seq, at, event, data}, in order for each stream, each once
 * - `reload` (streams): too much was missed of these: what is known of them must be asked for again
 * - `closed` (reason): for good: 'unauthorised', also when token() is refused with 401 or 403; 'replaced' by another device
 */
export class Signaling extends Emitter {
    state = 'closed';
    user = '';
    device = '';
    #url;
    #token;
    #socket = null;
    #waiting = new Map();  // id -> {message, resolve, reject, timer, sent}
    #seen = new Map();     // stream -> the last sequence number
    #id = 0;
    #heartbeat = 0;
    #turn = 0;
    #wake = () => {};
    #online = () => this.#check();

    /** url: of the WebSocket, ws: or wss:, or a path. `token()`: an access token that is good now. */
    constructor({url = '/v1/ws', token}) {
        super();
        this.#url = new URL(url, location.href.replace(/^http/, 'ws'));
        this.#token = token;
    }

    /** Resolves when the service has said hello. RpcError or Refusal when it refuses; else it goes on trying, and is
        'reconnecting' from the first attempt that fails. */
    async connect() {
        const turn = ++this.#turn;
        this.#become('connecting');
        addEventListener('online', this.#online);
        for (let attempt = 0; turn === this.#turn; attempt++) {
            try {
                return await this.#open(turn);
            } catch (error) {
                if (turn === this.#turn && endOf(error)) {
                    this.#finish(endOf(error));
                    throw error;
                }
            }
            if (turn !== this.#turn) break;
            this.#become('reconnecting');
            await this.#pause(attempt);
        }
        throw closed();
    }

    /** Now, instead of after the pause between two attempts. */
    retry() {
        this.#wake();
    }

    /** The result of a method. While there is no connection it waits for one. RpcError. */
    call(method, params = {}) {
        if (this.state === 'closed') return Promise.reject(closed());
        const id = ++this.#id;
        const message = JSON.stringify({jsonrpc: '2.0', id, method, params});
        return new Promise((resolve, reject) => {
            const timer = setTimeout(() => this.#refuse(id, late()), ANSWER_MS);
            this.#waiting.set(id, {message, resolve, reject, timer, sent: false});
            if (this.state === 'connected') this.#send(id);
        });
    }

    /** Sends a file over HTTP, for JSON-RPC carries no bytes: the answer's JSON. path: beside the WebSocket's; options: as
        upload() takes them. RpcError. */
    async upload(path, file, options) {
        const url = new URL(path, this.#url.href.replace(/^ws/, 'http'));
        return upload(url, await this.#token(), file, options);
    }

    /** For good. What still waits for an answer is refused. */
    close() {
        this.#finish('');
    }

    /** A connection that is made and greeted. One that fails before is nobody's any more: who asked tries again. */
    async #open(turn) {
        const token = await this.#token();
        if (turn !== this.#turn) throw closed();
        const socket = this.#socket = new WebSocket(this.#url);
        let hello;
        try {
            hello = await this.#greet(socket, token);
            if (turn !== this.#turn) throw closed();
        } catch (error) {
            socket.close();
            throw error;
        }
        socket.onclose = ({code}) => this.#lost(socket, turn, code);
        socket.onmessage = ({data}) => this.#received(JSON.parse(data));
        Object.assign(this, {user: hello.user, device: hello.device});
        for (const [stream, last] of Object.entries(hello.streams)) {
            if (!this.#seen.has(stream) || hello.reload.includes(stream)) this.#seen.set(stream, last);
        }
        clearInterval(this.#heartbeat);
        this.#heartbeat = setInterval(() => this.#beat(), 1000 * hello.heartbeat_s);
        this.#become('connected');
        for (const id of this.#waiting.keys()) this.#send(id);
        if (hello.reload.length) this.emit('reload', hello.reload);
        return hello;
    }

    /** The answer to hello. RpcError, also of a connection that is closed before, or gives no sign of life. */
    #greet(socket, token) {
        const params = {token, resume: Object.fromEntries(this.#seen)};
        let timer = 0;
        return new Promise((resolve, reject) => {
            timer = setTimeout(() => reject(late()), OPEN_MS);
            socket.onopen = () => socket.send(JSON.stringify({jsonrpc: '2.0', id: 'hello', method: 'hello', params}));
            socket.onclose = ({code}) => reject(lost(code));
            socket.onmessage = ({data}) => {
                const message = JSON.parse(data);
                if (message.id !== 'hello') return;
                if (message.error) reject(new RpcError(message.error));
                else resolve(message.result);
            };
        }).finally(() => clearTimeout(timer));
    }

    /** Who does not answer is gone: a network that is dead closes no socket. */
    async #beat() {
        const socket = this.#socket;
        if (this.state === 'connected') await this.call('heartbeat').catch(() => this.#give(socket));
    }

    /** The network may be another, and the connection dead. */
    async #check() {
        const socket = this.#socket;
        const timer = setTimeout(() => this.#give(socket), ALIVE_MS);
        await this.#beat();
        clearTimeout(timer);
    }

    #give(socket) {
        if (socket !== this.#socket || this.state !== 'connected') return;
        this.#lost(socket, this.#turn, 1006);
        socket.close();
    }

    #pause(attempt) {
        return Promise.race([pause(backoff(attempt)), new Promise(resolve => {
            this.#wake = resolve;
        })]);
    }

    #send(id) {
        const waiting = this.#waiting.get(id);
        if (waiting.sent) return;
        waiting.sent = true;
        this.#socket.send(waiting.message);
    }

    #received({id, method, params, result, error}) {
        if (id !== undefined && method === undefined) this.#settle(id, {result, error});
        else if (method === 'event') this.#event(params);
        else if (method === 'reload') this.#missed(params);
    }

    /** As the `reload` of hello: this connection was too slow for what its service keeps. */
    #missed({stream, last}) {
        this.#seen.set(stream, last);
        this.emit('reload', [stream]);
    }

    #event(event) {
        const last = this.#seen.get(event.stream) ?? 0;
        if (event.seq <= last) return;
        this.#seen.set(event.stream, event.seq);
        this.emit('event', event);
    }

    #settle(id, {result, error}) {
        if (error) return this.#refuse(id, new RpcError(error));
        this.#take(id)?.resolve(result);
    }

    #refuse(id, error) {
        this.#take(id)?.reject(error);
    }

    #take(id) {
        const waiting = this.#waiting.get(id);
        this.#waiting.delete(id);
        clearTimeout(waiting?.timer);
        return waiting;
    }

    #lost(socket, turn, code) {
        if (socket !== this.#socket || turn !== this.#turn) return;
        clearInterval(this.#heartbeat);
        if (FINAL.has(code)) return this.#finish(FINAL.get(code));
        // What was sent and not answered may have been done, or not: who asked must look.
        for (const [id, {sent}] of this.#waiting) {
            if (sent) this.#refuse(id, lost());
        }
        this.#become('reconnecting');
        this.#again(turn);
    }

    async #again(turn) {
        for (let attempt = 0; turn === this.#turn; attempt++) {
            await this.#pause(attempt);
            if (turn !== this.#turn) return;
            try {
                return await this.#open(turn);
            } catch (error) {
                if (turn === this.#turn && endOf(error)) return this.#finish(endOf(error));
            }
        }
    }

    #finish(reason) {
        this.#turn += 1;
        this.#wake();
        removeEventListener('online', this.#online);
        clearInterval(this.#heartbeat);
        for (const id of [...this.#waiting.keys()]) this.#refuse(id, closed());
        this.#socket?.close();
        this.#socket = null;
        if (this.state === 'closed') return;
        this.#become('closed');
        if (reason) this.emit('closed', reason);
    }

    #become(state) {
        if (this.state === state) return;
        this.state = state;
        this.emit('state', state);
    }
}

// What befalls a call here, as if the service had refused it. `code`: of the socket's close.
const lost = (code = 0) => new RpcError({code, message: 'The connection was lost.', data: {problem: 'connection-lost'}});
const late = () => new RpcError({message: 'The service does not answer.', data: {problem: 'no-answer'}});
const closed = () => new RpcError({message: 'The connection was closed.', data: {problem: 'closed'}});

/** Why it is no use to come again after this: the service refuses who comes, or refuses him a token, or has closed for good.
    Whatever else it refuses, as too much at once, or because its database is away, passes. */
function endOf(error) {
    const refused = error.problem === 'unauthorised' || error instanceof Refusal && [401, 403].includes(error.status);
    return FINAL.get(error.code) ?? (refused ? 'unauthorised' : '');
}
