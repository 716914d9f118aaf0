/** A refusal by the room service. `problem` is its name, as in docs/rooms.md; `code` is JSON-RPC's. */
export class RpcError extends Error {
    constructor({code = 0, message, data}) {
        super(message);
        this.name = 'RpcError';
        this.code = code;
        this.problem = data?.problem ?? 'failed';
    }
}
