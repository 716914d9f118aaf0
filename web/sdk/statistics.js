/** Loss and delays of both directions; each value may be missing. Shares are 0 to 1. */
export async function statistics(publishing, listening) {
    const reports = await Promise.all([publishing, listening].map(connection => connection?.getStats()));
    const [sent, received] = reports.map(report => [...report?.values() ?? []]);
    const inbound = received.filter(({type, packetsReceived}) => type === 'inbound-rtp' && packetsReceived);
    const total = key => inbound.reduce((sum, stats) => sum + (stats[key] ?? 0), 0);
    const pair = received.concat(sent).find(({type, nominated}) => type === 'candidate-pair' && nominated);
    return {
        roundTripMs: milliseconds(pair?.currentRoundTripTime),
        receivedLoss: share(total('packetsLost'), total('packetsLost') + total('packetsReceived')),
        jitterMs: milliseconds(Math.max(...inbound.map(({jitter}) => jitter))),
        bufferMs: milliseconds(total('jitterBufferDelay') / total('jitterBufferEmittedCount')),
        sentLoss: sent.find(({type}) => type === 'remote-inbound-rtp')?.fractionLost,
    };
}

const milliseconds = seconds => Number.isFinite(seconds) ? 1000 * seconds : undefined;
const share = (part, whole) => whole > 0 ? part / whole : undefined;

/** 'good', 'fair' or 'poor': what a person would say of a connection; 'unknown' before anything is measured. */
export function quality({roundTripMs, receivedLoss, sentLoss}) {
    const lost = Math.max(receivedLoss ?? 0, sentLoss ?? 0);
    if (roundTripMs === undefined && receivedLoss === undefined) return 'unknown';
    if (lost > 0.1 || roundTripMs > 400) return 'poor';
    return lost > 0.02 || roundTripMs > 200 ? 'fair' : 'good';
}
