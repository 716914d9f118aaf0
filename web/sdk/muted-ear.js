// Whether somebody talks into a microphone that he has muted. The server cannot know: a muted page sends silence. What is
// heard here stays here.

const LOOK_MS = 100;
// Quiet speech is at about -50 dBFS, and what noise suppression leaves of a room is below -60.
const LOUD_DB = -45;
// So many loud looks of the last so many: words, and not a cough.
const LOUD_LOOKS = 4, LOOKS = 8;
const AGAIN_MS = 10000;

export class MutedEar {
    /** Calls `talks()` every now and then while there is speech on the track. */
    constructor(track, talks) {
        this.track = track.clone();
        this.track.enabled = true;
        this.context = new AudioContext();
        const analyser = this.context.createAnalyser();
        this.context.createMediaStreamSource(new MediaStream([this.track])).connect(analyser);
        const samples = new Float32Array(analyser.fftSize);
        let looks = [];
        let told = -Infinity;
        this.timer = setInterval(() => {
            analyser.getFloatTimeDomainData(samples);
            const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
            looks = [...looks.slice(1 - LOOKS), 10 * Math.log10(power) > LOUD_DB];
            if (looks.filter(Boolean).length < LOUD_LOOKS || performance.now() - told < AGAIN_MS) return;
            told = performance.now();
            talks();
        }, LOOK_MS);
    }

    stop() {
        clearInterval(this.timer);
        this.track.stop();
        this.context.close();
    }
}
