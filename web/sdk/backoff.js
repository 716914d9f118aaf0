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
