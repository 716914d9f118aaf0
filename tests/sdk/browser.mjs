// A browser's globals, as far as the SDK's modules use them when they are not in one.

// Who waits for the browser to be online: empty when no pause is under way.
export const online = new Set();
export const devices = new EventTarget();

Object.assign(globalThis, {
    location: {href: 'http://rooms.example/'},
    addEventListener: (_, listener) => online.add(listener),
    removeEventListener: (_, listener) => online.delete(listener),
});

/** navigator is as given. */
export const browser = navigator => Object.defineProperty(globalThis, 'navigator', {value: navigator, configurable: true});

export const settled = () => new Promise(setImmediate);

/** Ends a pause at once, as the browser's `online` does. */
export const goOn = async () => {
    [...online].forEach(listener => listener());
    await settled();
};
