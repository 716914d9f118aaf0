// Requests to the server, and what becomes of them.

/** A refusal by the server; `problem` is its RFC 9457 document. */
export class Refusal extends Error {
    constructor(status, problem) {
        super(problem.detail ?? problem.title ?? `The server answered ${status}.`);
        this.status = status;
        this.problem = problem;
    }
}

export class Unreachable extends Error {
    message = 'The server cannot be reached.';
}

/** Whether trying again later may help: anything but a refusal, and of those what a server says that is busy or broken. */
export const passes = error => !(error instanceof Refusal) || error.status >= 500 || error.status === 429;

/** fetch() that throws a Refusal for anything but success, and Unreachable when there was no answer. `token`: a
    participant's, or, as {id, secret}, an API key. */
export async function request(url, token, {headers, ...options} = {}) {
    const authorization = token?.id ? {Authorization: `Basic ${btoa(`${token.id}:${token.secret}`)}`}
        : token ? {Authorization: `Bearer ${token}`} : {};
    // Without the browser's own credentials, for it would ask for a password itself when one is refused.
    const init = {...options, credentials: 'omit', headers: {...authorization, ...headers}};
    const response = await fetch(url, init).catch(() => {
        throw new Unreachable();
    });
    if (!response.ok) throw new Refusal(response.status, await response.json().catch(() => ({})));
    return response;
}
