import {passes} from './http.js';

// What becomes of a call without a connection, and what the service refuses for the moment alone (docs/rooms.md).
const PASSING = new Set(['connection-lost', 'no-answer', 'too-often', 'internal', 'contended', 'unavailable', 'media-unreachable']);

/** A refusal by the room service. `problem` is its name, as in docs/rooms.md; `code` is JSON-RPC's. */
export class RpcError extends Error {
    constructor({code = 0, message, data}) {
        super(message);
        this.name = 'RpcError';
        this.code = code;
        this.problem = data?.problem ?? 'failed';
    }
}

/** Whether trying again later may help, as passes(), and of what the room service refuses. */
export const mayPass = error => error instanceof RpcError ? PASSING.has(error.problem) : passes(error);
