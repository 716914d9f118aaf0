// The microphone: opening it, why it cannot be opened, and how a room wants it.

/** What the user can do something about; `name` is a DOMException's, as getUserMedia() throws. */
const MICROPHONE_PROBLEMS = {
    NotAllowedError: 'The microphone was refused. Allow it in the address bar and try again, or only listen.',
    NotFoundError: 'There is no microphone. Connect one and try again, or only listen.',
    NotReadableError: 'The microphone cannot be used; perhaps another program has it. Or only listen.',
    InsecureContext: 'Browsers give microphones to pages over https alone (or on localhost). You can still listen.',
};

export class MicrophoneError extends Error {
    constructor(name) {
        super(MICROPHONE_PROBLEMS[name] ?? `The microphone cannot be used (${name}). You can still listen.`);
        this.name = name;
    }
}

const PROCESSED = {echoCancellation: true, noiseSuppression: true, autoGainControl: true};

export async function openMicrophone(audio = PROCESSED) {
    if (!navigator.mediaDevices) throw new MicrophoneError('InsecureContext');
    try {
        return await navigator.mediaDevices.getUserMedia({audio});
    } catch (error) {
        throw new MicrophoneError(error.name);
    }
}

/** The room's hints for capture, as a track takes them. */
export function constraintsOf(capture) {
    return {
        echoCancellation: capture.echo_cancellation,
        noiseSuppression: capture.noise_suppression,
        autoGainControl: capture.auto_gain_control,
        channelCount: capture.channel_count,
    };
}

/** The microphone as the room wants it: another one where processing is to be on or off, as browsers do not change that
    of one that is open. */
export async function captureAs(microphone, constraints) {
    const [track] = microphone.getAudioTracks();
    const settings = track.getSettings();
    if (Object.keys(PROCESSED).every(name => (settings[name] ?? constraints[name]) === constraints[name])) {
        await track.applyConstraints(constraints);
        return microphone;
    }
    track.stop();
    return openMicrophone(constraints);
}
