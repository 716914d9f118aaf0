// What a singer's browser says once a second, so that the audience hears his voice and the music meet: how late it plays
// what comes, and how late it sends what it captures. The server measures the rest (mediaserver/ktv.py).

export const DELAYS_EVERY_MS = 1000;
// Of Opus as browsers send it.
const PACKET_MS = 20;
// What browsers do not tell: from a microphone until the encoder has it, and from the decoder to the ears.
const PRESUMED_CAPTURE_MS = 15;
const PRESUMED_OUTPUT_MS = 25;

/** The delays of one client, by the difference between one look and the next. */
export class Delays {
    #counted = new Map();
    #output = null;

    /** {playout_ms, capture_ms} since the last look; null at the first, and while nothing is played. */
    async measure(listening, publishing) {
        const [received, sent] = await Promise.all([listening, publishing].map(async connection =>
            [...(await connection.getStats()).values()]));
        const waits = this.#mean(find(received, 'inbound-rtp'), 'jitterBufferDelay', 'jitterBufferEmittedCount');
        // Of the output device: the browser's own count, where it has one, or what Web Audio says of it.
        const output = this.#mean(find(received, 'media-playout'), 'totalPlayoutDelay', 'totalSamplesCount')
            ?? this.#webAudio();
        const [sender] = publishing.getSenders().filter(({track}) => track?.kind === 'audio');
        const input = this.#mean(find(sent, 'media-source'), 'totalCaptureDelay', 'totalSamplesCaptured')
            ?? milliseconds(sender?.track.getSettings().latency);
        if (waits === undefined) return null;
        return {
            playout_ms: bounded(waits + (output ?? PRESUMED_OUTPUT_MS)),
            capture_ms: bounded((input ?? PRESUMED_CAPTURE_MS) + PACKET_MS),
        };
    }

    /** Lets go of the output device. */
    rest() {
        this.#output?.close();
        this.#output = null;
        this.#counted.clear();
    }

    /** Mean in ms of what a counter of seconds says of each of what another counts, since the last look. */
    #mean(stats, seconds, count) {
        if (!Number.isFinite(stats?.[seconds]) || !Number.isFinite(stats[count])) return undefined;
        const key = `${stats.id} ${seconds}`;
        const before = this.#counted.get(key);
        this.#counted.set(key, [stats[seconds], stats[count]]);
        if (!before || stats[count] <= before[1]) return undefined;
        return milliseconds((stats[seconds] - before[0]) / (stats[count] - before[1]));
    }

    #webAudio() {
        this.#output ??= new AudioContext();
        return this.#output.state === 'running' ? milliseconds(this.#output.outputLatency) || undefined : undefined;
    }
}

const find = (stats, type) => stats.find(each => each.type === type && (each.kind ?? 'audio') === 'audio');
const milliseconds = seconds => Number.isFinite(seconds) ? 1000 * seconds : undefined;
const bounded = delay => Math.min(Math.max(delay, 0), 1000);
