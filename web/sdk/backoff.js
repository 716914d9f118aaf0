const FIRST_MS = 500;
const LONGEST_MS = 15000;

/** How long to wait before the next attempt: doubling, and shaken, so that clients of a server that was restarted do not
    all come at once. `attempt` counts from 0. In ms. */
export const backoff = (attempt, random = Math.random) =>
    Math.min(LONGEST_MS, FIRST_MS * 2 ** attempt) * (0.5 + random() / 2);

/** After so many ms, or at once when the browser says that it is online again. */
export function pause(milliseconds) {
    return new Promise(resolve => {
        const done = () => {
            clearTimeout(timer);
            removeEventListener('online', done);
            resolve();
        };
        const timer = setTimeout(done, milliseconds);
        addEventListener('online', done);
    });
}

/** What `action` resolves to in the end: after an error of which `again(error)` is true it is done once more, after a pause. */
export async function persistently(action, again) {
    for (let attempt = 0; ; attempt++) {
        try {
            return await action();
        } catch (error) {
            if (!again(error)) throw error;
        }
        await pause(backoff(attempt));
    }
}
