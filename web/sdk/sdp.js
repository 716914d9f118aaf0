// What descriptions and answers need that browsers do not do by themselves.

/** What browsers can but do not offer: they decode Opus to mono unless they said that they like stereo, and a mix may have
    it (RFC 7587 section 6.1); and they ask for lost audio again only where that was agreed on (RFC 4585 section 4.2). */
export function withOurWishes({type, sdp}) {
    const wishes = sdp.replaceAll('useinbandfec=1', 'useinbandfec=1;stereo=1')
        .replaceAll(/^a=rtpmap:(\d+) opus\/48000\/2\r\n/gm, '$&a=rtcp-fb:$1 nack\r\n');
    return {type, sdp: wishes};
}

/** Copies of earlier frames (RFC 2198) first, where the browser has them: what is lost is then in the next packet. */
export function preferRedundancy(transceiver) {
    const codecs = RTCRtpSender.getCapabilities?.('audio')?.codecs ?? [];
    const isRed = ({mimeType}) => mimeType.toLowerCase() === 'audio/red';
    if (!codecs.some(isRed) || !transceiver.setCodecPreferences) return;
    transceiver.setCodecPreferences([...codecs.filter(isRed), ...codecs.filter(codec => !isRed(codec))]);
}

/** The links of an answer (RFC 8288): the target, resolved, and the parameters by name. */
export function linksOf(response) {
    const links = (response.headers.get('Link') ?? '').matchAll(/<([^>]*)>((?:\s*;\s*[\w-]+="[^"]*")*)/g);
    return [...links].map(([, target, parameters]) => ({
        target: new URL(target, response.url).href,
        ...Object.fromEntries([...parameters.matchAll(/([\w-]+)="([^"]*)"/g)].map(([, name, value]) => [name, value])),
    }));
}

/** The ICE part of a description, as an SDP fragment (RFC 8840 section 4.4.1). */
export function iceFragment(sdp) {
    const wanted = /^a=(group:|ice-options:|ice-ufrag:|ice-pwd:|mid:|candidate:)/;
    const [session, media] = sdp.split(/^(?=m=)/m);
    const lines = [...session.split('\r\n').filter(line => wanted.test(line)), media.split('\r\n')[0]];
    return [...lines, ...media.split('\r\n').filter(line => wanted.test(line)), ''].join('\r\n');
}

/** The answer with the credentials of the server's fragment. */
export function withIceOf(fragment, answer) {
    for (const name of ['ice-ufrag', 'ice-pwd']) {
        const line = fragment.match(new RegExp(`^a=${name}:\\S+`, 'm'));
        if (line) answer = answer.replaceAll(new RegExp(`^a=${name}:\\S+`, 'gm'), line[0]);
    }
    return answer;
}
