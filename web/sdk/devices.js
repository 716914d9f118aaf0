/** Microphones and outputs as the browser names them: names are empty until a microphone was allowed.
 *
 * {microphones: [{id, name}], outputs: [{id, name}]} */
export async function devices() {
    const all = await navigator.mediaDevices?.enumerateDevices() ?? [];
    const of = kind => all.filter(device => device.kind === kind)
        .map(({deviceId, label}, i) => ({id: deviceId, name: label || `${kind === 'audioinput' ? 'Microphone' : 'Output'} ${i + 1}`}));
    return {microphones: of('audioinput'), outputs: of('audiooutput')};
}

/** How loud a microphone is, in dBFS, while nothing is sent: for a test before one speaks. */
export class Meter {
    #context = new AudioContext();
    #samples;
    #analyser;

    constructor(stream) {
        this.#analyser = this.#context.createAnalyser();
        this.#samples = new Float32Array(this.#analyser.fftSize);
        this.#context.createMediaStreamSource(stream).connect(this.#analyser);
    }

    get level() {
        this.#analyser.getFloatTimeDomainData(this.#samples);
        const power = this.#samples.reduce((sum, sample) => sum + sample * sample, 0) / this.#samples.length;
        return power > 0 ? 10 * Math.log10(power) : -127;
    }

    stop() {
        this.#context.close();
    }
}
