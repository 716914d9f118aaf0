// Voice rooms in a browser: the SDK's public part. Each class can be used alone.
//
//   VoiceRoom  a room as an app uses it        Calls, Call  one-to-one and group calls
//   Signaling  the room service's WebSocket    Account      who the user is to it
//   Media      what is heard and said          devices, Meter, Ringtone

export {Account} from './account.js';
export {Call, Calls} from './call.js';
export {devices, Meter} from './devices.js';
export {Emitter} from './emitter.js';
export {Refusal, Unreachable} from './http.js';
export {Media} from './media.js';
export {MicrophoneError} from './microphone.js';
export {Ringtone} from './ringtone.js';
export {applied, leads, roleOf, roomState, seatOf} from './room-state.js';
export {RpcError, Signaling} from './signaling.js';
export {quality} from './statistics.js';
export {VoiceRoom} from './voice-room.js';
