// The tests' second WebRTC client (werift): one session that sends or receives Opus. It takes lines of JSON on standard
// input, answers by lines of JSON, and ends when its input does.
//
//   node client.mjs '{"direction": "sendonly" | "recvonly", "red": true | false, "nack": true | false}'
//   > {"offer": SDP}
//   < {"answer": SDP}
//   < {"frames": [base64, ...]}   of 20 ms each; they are sent one after the other, in a loop
//   > {"connected", "questions", "asked", "types": {payload type: packets}, "heard": [[timestamp, base64], ...]}
//     each quarter of a second: packets that the server asked for, that it was asked for, those it got, and their
//     frames since the last such line, copies included
import { createInterface } from "node:readline";
import {
    MediaStreamTrack, RTCPeerConnection, RTCRtpCodecParameters, RtpHeader, RtpPacket, useNACK, useOPUS,
} from "werift";

const OPUS = 111, RED = 63, FRAME = 960;
const { direction, red, nack } = JSON.parse(process.argv[2]);
const say = (message) => process.stdout.write(JSON.stringify(message) + "\n");

const opus = useOPUS({
    payloadType: OPUS,
    parameters: "minptime=10;useinbandfec=1",
    rtcpFeedback: nack ? [useNACK()] : [],
});
const redundant = new RTCRtpCodecParameters({
    mimeType: "audio/red",
    clockRate: 48000,
    channels: 2,
    payloadType: RED,
    parameters: `${OPUS}/${OPUS}`,
});
const connection = new RTCPeerConnection({
    codecs: { audio: red ? [redundant, opus] : [opus] },
    iceAdditionalHostAddresses: ["127.0.0.1"],
    iceUseIpv6: false,
    iceFilterCandidatePair: ({ localCandidate }) => localCandidate.host === "127.0.0.1",
});
const counts = { connected: false, questions: 0, asked: 0, types: {} };
let heard = [];
connection.connectionStateChange.subscribe((state) => (counts.connected = state === "connected"));

const track = new MediaStreamTrack({ kind: "audio" });
const { sender, receiver, onTrack } = connection.addTransceiver(direction === "sendonly" ? track : "audio", { direction });
sender.onGenericNack.subscribe(({ lost }) => (counts.questions += lost.length));
receiver.onPacketLost.subscribe(({ lost }) => (counts.asked += lost.length));
onTrack.subscribe((received) =>
    received.onReceiveRtp.subscribe(({ header, payload }) => heard.push([header.timestamp, payload.toString("base64")])),
);
// werift asks for lost packets of video alone; the same handler does it for audio here.
const receive = receiver.handleRTP.bind(receiver);
receiver.handleRTP = (packet, ...rest) => {
    counts.types[packet.header.payloadType] = (counts.types[packet.header.payloadType] ?? 0) + 1;
    if (nack) receiver.nack.addPacket(packet);
    receive(packet, ...rest);
};

function talk(frames) {
    const begin = performance.now();
    let sent = 0;
    setInterval(() => {
        for (; sent * 20 <= performance.now() - begin; ++sent) {
            const header = new RtpHeader({
                payloadType: red ? RED : OPUS,
                sequenceNumber: (sent + 1000) % 65536,
                timestamp: (sent * FRAME) % 2 ** 32,
                marker: sent === 0,
            });
            track.writeRtp(new RtpPacket(header, Buffer.from(frames[sent % frames.length], "base64")));
        }
    }, 5);
}

// Without a STUN server of ours it would ask one in the Internet.
for (const { connection: ice } of connection.iceTransports) ice.stunServer = undefined;
await connection.setLocalDescription(await connection.createOffer());
say({ offer: connection.localDescription.sdp });
for await (const line of createInterface({ input: process.stdin })) {
    const { answer, frames } = JSON.parse(line);
    if (answer) {
        await connection.setRemoteDescription({ type: "answer", sdp: answer });
        setInterval(() => say({ ...counts, heard: heard.splice(0) }), 250);
    }
    if (frames) talk(frames);
}
process.exit(0);
