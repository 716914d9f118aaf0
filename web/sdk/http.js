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

/** fetch() that throws a Refusal for anything but success, and Unreachable when there was no answer. `token`: a
    participant's, or, as {id, secret}, an API key. */
export async function request(url, token, {headers, ...options} = {}) {
    const authorization = token?.id ? {Authorization: `Basic ${btoa(`${token.id}:${token.secret}`)}`}
        : token ? {Authorization: `Bearer ${token}`} : {};
    const response = await fetch(url, {...options, headers: {...authorization, ...headers}}).catch(() => {
        throw new Unreachable();
    });
    if (!response.ok) throw new Refusal(response.status, await response.json().catch(() => ({})));
    return response;
}
