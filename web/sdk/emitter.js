/** Named events for whoever listens. A listener that throws is reported by the console and hinders nobody. */
export class Emitter {
    #listeners = new Map();

    /** Calls `listener(detail)` at each event of this name. Returns a function that stops it. */
    on(name, listener) {
        const known = this.#listeners.get(name) ?? new Set();
        this.#listeners.set(name, known.add(listener));
        return () => known.delete(listener);
    }

    /** The detail of the next event of this name. */
    once(name) {
        return new Promise(resolve => {
            const off = this.on(name, detail => {
                off();
                resolve(detail);
            });
        });
    }

    emit(name, detail) {
        for (const listener of [...this.#listeners.get(name) ?? []]) {
            try {
                listener(detail);
            } catch (error) {
                console.error(error);
            }
        }
    }
}
