/** A phone that rings, made here: a callee's page rings before any media is there. stop() ends it. */
export class Ringtone {
    #context = null;

    start() {
        if (this.#context) return;
        const context = this.#context = new AudioContext();
        const volume = context.createGain();
        volume.gain.value = 0;
        volume.connect(context.destination);
        for (const hertz of [440, 480]) {
            const tone = new OscillatorNode(context, {frequency: hertz});
            tone.connect(volume);
            tone.start();
        }
        // Two seconds of every six, without clicks.
        for (let at = context.currentTime; at < context.currentTime + 60; at += 6) {
            volume.gain.setTargetAtTime(0.12, at, 0.02);
            volume.gain.setTargetAtTime(0, at + 2, 0.02);
        }
    }

    stop() {
        this.#context?.close();
        this.#context = null;
    }
}
