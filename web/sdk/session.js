// One peer connection and its HTTP resource: WHIP to publish (RFC 9725), WHEP to listen (draft-ietf-wish-whep).

import {request} from './http.js';
import {iceFragment, linksOf, withIceOf, withOurWishes} from './sdp.js';

const EVENT_STREAM = 'urn:ietf:params:whep:ext:core:server-sent-events';
// How long a connection may be silent before its ICE is restarted. Lower restarts for a moment's bad radio.
const PATIENCE_MS = 2500;
// How long a restart may take before the connection counts as lost.
const RESTART_MS = 10000;

export class Session {
    /** `onend(reason)` is called once, unless close() comes first: 'closed' by the server, or 'lost'. */
    constructor(token, onend, onchange = () => {}) {
        this.token = token;
        this.connection = new RTCPeerConnection({bundlePolicy: 'max-bundle'});
        this.onend = onend;
        this.onchange = onchange;
        this.timer = 0;
        this.isClosed = false;
    }

    /** Posts the offer for what was added to `connection` and applies the answer. The offer has no candidates: the
        server is ICE-lite and learns our addresses from our checks, and only its answer names the ICE servers.

        After close() nothing is left of it, whenever that came; then it may reject with anything. */
    async open(endpoint) {
        const connection = this.connection;
        const offer = withOurWishes(await connection.createOffer());
        const response = await request(endpoint, this.token, {
            method: 'POST',
            headers: {'Content-Type': 'application/sdp'},
            body: offer.sdp,
        });
        this.url = new URL(response.headers.get('Location'), response.url);
        if (this.isClosed) return this.close();  // which could not end at the server what had no address yet
        this.eventsUrl = linksOf(response).find(({rel}) => rel === EVENT_STREAM)?.target;
        this.#useIceServers(response);
        connection.onconnectionstatechange = () => this.#stateChanged();
        await connection.setLocalDescription(offer);
        await connection.setRemoteDescription({type: 'answer', sdp: await response.text()});
        if (this.isClosed) return;
        const [transceiver] = connection.getTransceivers();
        const dtls = transceiver.sender.transport ?? transceiver.receiver.transport;
        dtls.onstatechange = () => dtls.state === 'closed' && this.#end('closed');
    }

    /** Takes effect when candidates are gathered next: after open(), and for a restart after this one. */
    #useIceServers(response) {
        const iceServers = linksOf(response).filter(({rel}) => rel === 'ice-server')
            .map(({target, username, credential}) => ({urls: target, username, credential}));
        this.connection.setConfiguration({...this.connection.getConfiguration(), iceServers});
    }

    get connected() {
        return this.connection.connectionState === 'connected';
    }

    /** New ICE credentials on both sides, over which the same media goes on (RFC 9725 section 4.3.3). */
    async restartIce() {
        const connection = this.connection;
        const answer = connection.currentRemoteDescription.sdp;
        await connection.setLocalDescription(withOurWishes(await connection.createOffer({iceRestart: true})));
        try {
            const response = await request(this.url, this.token, {
                method: 'PATCH',
                headers: {'Content-Type': 'application/trickle-ice-sdpfrag', 'If-Match': '*'},
                body: iceFragment(connection.localDescription.sdp),
            });
            this.#useIceServers(response);
            const sdp = withIceOf(await response.text(), answer);
            await connection.setRemoteDescription({type: 'answer', sdp});
        } catch (error) {
            if (connection.signalingState === 'have-local-offer') {
                await connection.setLocalDescription({type: 'rollback'});
            }
            throw error;
        }
    }

    /** Ends the session for both sides. `keepalive` lets the request outlive the page; `ended`: the server ends it without one,
        and might answer that it has. */
    async close({keepalive = false, ended = false} = {}) {
        this.isClosed = true;
        this.onend = () => {};
        clearTimeout(this.timer);
        // The request first: closing the connection would end the resource before it.
        if (this.url && !ended) await request(this.url, this.token, {method: 'DELETE', keepalive}).catch(() => {});
        this.connection.close();
    }

    #stateChanged() {
        clearTimeout(this.timer);
        const state = this.connection.connectionState;
        if (state === 'disconnected') this.timer = setTimeout(() => this.#revive(), PATIENCE_MS);
        if (state === 'failed') this.#revive();
        this.onchange();
    }

    async #revive() {
        this.timer = setTimeout(() => this.#end('lost'), RESTART_MS);
        try {
            await this.restartIce();
        } catch {
            this.#end('lost');
        }
    }

    #end(reason) {
        clearTimeout(this.timer);
        const onend = this.onend;
        this.onend = () => {};
        this.connection.close();
        onend(reason);
    }
}
