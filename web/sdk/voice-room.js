import {persistently} from './backoff.js';
import {Emitter} from './emitter.js';
import {Media} from './media.js';
import {applied, leads, roleOf, roomState, seatOf} from './room-state.js';
import {mayPass} from './rpc-error.js';
import {Voice} from './voice.js';

const ATTENDEES = 200;
const MESSAGES = 50;
const MUSIC = 'music';
const ATTEMPTS = 5;
const TITLE_LENGTH = 200;
const DISMISSED = 2;  // a view's `status`

/** A voice room as an app uses it: one method for each thing that somebody does in it, over Signaling and Media.
 *
 * Every method rejects with RpcError, whose `problem` names the refusal, and changes nothing then. What others do comes as
 * events, and `state` has all of it (room-state.js).
 *
 * Events
 * - `change`: `state` is another
 * - `event` ({event, data, at}): each single thing that happened, for notices
 * - `message` (message), `recalled` ({id}): chat
 * - `invited` ({by, seat, until}), `invite-ended` ({how}): to a seat
 * - `media-problem` (error): a seat is taken, but the microphone or the connection failed; `microphoneProblem` has the name of a
 *   MicrophoneError while it lasts. It is tried again when a device is connected, and by useMicrophone(); a connection by itself
 * - `ended` ({reason}): 'left', 'dismissed', 'host-gone', 'kicked', 'banned', 'lost' or 'refused'
 */
export class VoiceRoom extends Emitter {
    state = null;
    messages = [];
    invite = null;
    media = null;
    uploads = null;     // {allowed, max_bytes}: what this user may bring, as library() was told
    #signaling;
    #options;
    #off = [];
    #early = null;  // events that came while all that there is was asked for
    #loads = 0;     // only what was asked for last counts, and nothing once it is left
    #voice = new Voice({may: () => this.seat !== null, muted: () => this.mutes.length > 0});

    /** signaling: connected. options: those of Media, but for addresses. */
    constructor(signaling, options = {}) {
        super();
        this.#signaling = signaling;
        this.#options = options;
        this.#voice.on('problem', error => this.emit('media-problem', error));
        this.#voice.on('change', () => this.emit('change'));
    }

    /** Makes a room, whose host he is, and enters it. */
    static async create(signaling, {title, notice, cover_url, settings, nick, avatar, ...options}) {
        const room = await signaling.call('create_room', defined({title, notice, cover_url, settings, nick, avatar}));
        const entered = new VoiceRoom(signaling, options);
        await entered.enter(room.id, {nick, avatar});
        return entered;
    }

    get id() {
        return this.state?.id;
    }

    get user() {
        return this.#signaling.user;
    }

    get role() {
        return this.state ? roleOf(this.state, this.user) : 'stranger';
    }

    get seat() {
        return this.state ? seatOf(this.state, this.user) : null;
    }

    get leads() {
        return this.state !== null && leads(this.state, this.user);
    }

    /** What Media.publish() takes. */
    get microphone() {
        return this.#voice.microphone;
    }

    set microphone(microphone) {
        this.#voice.microphone = microphone;
    }

    get microphoneProblem() {
        return this.#voice.problem;
    }

    /** Who mutes this user; nobody, and he is heard, when it is empty. */
    get mutes() {
        return this.state?.people.get(this.user)?.mutes ?? [];
    }

    /** Enters and listens. Besides RpcError also what Media.open() throws. */
    async enter(room, {nick, avatar, extra} = {}) {
        const signaling = this.#signaling;
        this.#off = [
            signaling.on('event', event => this.#happened(event)),
            signaling.on('reload', streams => this.#reload(streams)),
            signaling.on('closed', () => this.#end('lost')),
        ];
        try {
            await this.#load(() => signaling.call('login_room', defined({room, nick, avatar, extra})));
        } catch (error) {
            this.#unfollow();
            throw error;
        }
        if (!this.state) return;  // sent out at once: `ended` has told
        this.media = new Media({...this.#options, addresses: () => this.#addresses()});
        this.media.on('ended', () => this.#end('refused'));
        this.#voice.start(this.media);
        await this.media.open();
        await this.#voice.follow();
    }

    takeSeat(seat) {
        return this.#call('take_seat', defined({seat}));
    }

    leaveSeat() {
        return this.#call('leave_seat');
    }

    moveSeat(seat, user) {
        return this.#call('move_seat', defined({seat, user}));
    }

    /** Raises a hand; lowerHand() takes it back. */
    requestSeat(seat) {
        return this.#call('operate_raise_hand', defined({raised: true, seat}));
    }

    lowerHand() {
        return this.#call('operate_raise_hand', {raised: false});
    }

    approve(user, seat) {
        return this.#call('answer_raise_hand', defined({user, approve: true, seat}));
    }

    reject(user) {
        return this.#call('answer_raise_hand', {user, approve: false});
    }

    inviteToSeat(user, seat) {
        return this.#call('invite_onstage', defined({user, seat}));
    }

    async answerInvite(accept) {
        this.invite = null;
        this.emit('change');
        return this.#call('response_onstage_invite', {accept});
    }

    /** One's own microphone: silent here at once, and shown so to everybody. */
    async mute(muted = true) {
        if (muted) this.media?.setMuted(true);
        try {
            await this.#call('mute', {muted});
        } catch (error) {
            this.media?.setMuted(this.mutes.length > 0);  // as it is shown
            throw error;
        }
    }

    /** Another one, after it was unplugged or refused: what there is, or one that the user has chosen. */
    useMicrophone(microphone = true) {
        return this.#voice.use(microphone);
    }

    muteUser(user, muted = true) {
        return this.#call('mute', {user, muted});
    }

    lockSeat(seat, locked = true) {
        return this.#call('lock_seat', {seat, locked});
    }

    setListener(user) {
        return this.#call('set_listener', {user});
    }

    kick(user) {
        return this.#call('kick', {user});
    }

    /** seconds: null for ever. */
    ban(user, seconds = null) {
        return this.#call('ban', defined({user, seconds: seconds ?? undefined}));
    }

    makeHost(user) {
        return this.#call('hand_over_host', {user});
    }

    setAdmin(user, admin = true) {
        return this.#call('set_admin', {user, admin});
    }

    configure(settings) {
        return this.#call('configure_room', {settings});
    }

    like(count = 1) {
        return this.#call('like', {count});
    }

    setInfo(values, version) {
        return this.#call('set_room_info', defined({values, version}));
    }

    sendCommand(text, to) {
        return this.#call('send_command', defined({text, to}));
    }

    /** Once, though the connection may be lost before it is answered: its id makes it the same message. */
    async sendMessage(text) {
        const message = {group: this.id, text, id: unique()};
        for (let attempt = 1; ; attempt++) {
            try {
                return await this.#signaling.call('send_message', message);
            } catch (error) {
                if (error.problem !== 'connection-lost' || attempt === ATTEMPTS) throw error;
            }
        }
    }

    recallMessage(id) {
        return this.#signaling.call('recall_message', {group: this.id, message: id});
    }

    /** document: a player's (docs/protocol.md): {tracks: [{media} or {url}], state, volume_db, repeat, …}. */
    playMusic(document, player = MUSIC) {
        return this.#call('put_player', {player, document});
    }

    /** action: 'play', 'pause', 'stop', 'next', 'previous', 'seek' with position_ms, 'volume' with volume_db. */
    controlMusic(action, more = {}, player = MUSIC) {
        return this.#call('control_player', {player, action, ...more});
    }

    stopMusic(player = MUSIC) {
        return this.#call('delete_player', {player});
    }

    /** sound: of sounds(). audience: 'everybody', or users. */
    playEffect(sound, {gain_db, audience} = {}) {
        return this.#call('play_effect', {document: defined({sound, gain_db, audience})});
    }

    /** Pieces of the media library: {id, title, artist, duration_s, own} each. own: this user may delete it. RpcError: the
        problem is `no-library` where there is none. */
    async library(search = '') {
        const {media, uploads} = await this.#call('get_library', search ? {search} : {});
        this.uploads = uploads;
        return media.map(piece => ({...piece, own: uploads.own.includes(piece.id)}));
    }

    /** Brings a File into the library, and gives its piece when it can be played. onProgress(sent, total): in bytes; signal: an
        AbortSignal, which leaves nothing. RpcError: `forbidden`, `too-large`, `not-music`, `library-full`, `too-often`, … */
    async uploadMusic(file, {title = file.name?.replace(/\.[^.]*$/, '') ?? '', onProgress, signal} = {}) {
        const query = new URLSearchParams({room: this.id, title: title.slice(0, TITLE_LENGTH)});
        return (await this.#signaling.upload(`library?${query}`, file, {onProgress, signal})).media;
    }

    /** Takes a piece out that this user has brought. What plays of it plays on. */
    deleteMusic(id) {
        return this.#signaling.call('delete_music', {media: id});
    }

    /** The room's music players, with what each shall do: `volume_db`, `tracks`, …. What they do now is media.players. */
    async players() {
        return (await this.#call('get_players')).players;
    }

    /** As configureSound() takes them: {ducking_db, places}. */
    soundSettings() {
        return this.#call('get_sound');
    }

    /** ducking_db: by how much music goes down while somebody speaks, in dB, 0 is not at all; places: whether each is heard
        from his seat's place, in stereo. What is left out stays. */
    configureSound({ducking_db, places}) {
        return this.#call('configure_sound', defined({ducking_db, places}));
    }

    async sounds() {
        return (await this.#signaling.call('get_sounds')).sounds;
    }

    /** Of one person, or the music, for this listener alone, in dB; -60 is silence. */
    setVolume(gain_db, user = null) {
        return user === null ? this.media.setMusicVolume(gain_db) : this.media.setVolumeOf(user, gain_db);
    }

    async leave() {
        await this.#call('leave_room').catch(() => {});
        await this.#end('left');
    }

    async dismiss() {
        await this.#call('dismiss_room');
        await this.#end('dismissed');
    }

    /** For pages that close: ends the sound, and lets the service notice the rest. */
    abandon() {
        this.media?.close({keepalive: true});
    }

    #call(method, params = {}) {
        return this.#signaling.call(method, {room: this.id, ...params});
    }

    #addresses() {
        return this.#call('get_addresses');
    }

    /** All that there is to know, from the view that `ask` gives on. Events that come meanwhile may be newer, and follow it. */
    async #load(ask) {
        this.#early ??= [];
        const turn = ++this.#loads;
        const view = await ask();
        const room = view.id;
        const [{attendees, total}, {messages}] = await Promise.all([
            this.#signaling.call('get_attendee_list', {room, limit: ATTENDEES}),
            this.#signaling.call('get_messages', {group: room, limit: MESSAGES}).catch(() => ({messages: []})),
        ]);
        if (turn !== this.#loads) return;
        const early = this.#early;
        this.#early = null;
        this.messages = [...messages].sort((a, b) => a.number - b.number);
        this.state = roomState({...view, online: total}, attendees);
        this.invite = view.invites.find(({user}) => user === this.user) ?? null;
        early.forEach(event => this.#happened(event));
        if (this.state && !this.state.people.has(this.user)) return this.#end(view.status === DISMISSED ? 'dismissed' : 'lost');
        this.emit('change');
    }

    /** The service still has him on his seat while it cannot be asked: it is asked again. */
    async #reload(streams) {
        if (!this.state || !streams.includes(`room:${this.id}`)) return;
        const load = () => this.state && this.#load(() => this.#call('get_room'));
        try {
            await persistently(load, error => this.state && mayPass(error));
            await this.#voice.follow();
        } catch (error) {
            await this.#end(['no-such-room', 'room-dismissed'].includes(error.problem) ? 'dismissed' : 'lost');
        }
    }

    #happened(event) {
        if (this.#early) return this.#early.push(event);
        if (!this.state) return;
        if (event.stream === `room:${this.id}`) this.#inside(event);
        else if (event.stream === `user:${this.user}` && event.data.room === this.id) this.#toUser(event.event, event.data);
    }

    #inside({event, data, at}) {
        if (event.startsWith('message')) this.#inChat(event, data);
        else this.#inRoom(event, data, at);
    }

    #inRoom(event, data, at) {
        this.state = applied(this.state, event, data);
        this.emit('event', {event, data, at});
        this.emit('change');
        if (event === 'room_dismissed') return this.#end(data.reason === 'host gone' ? 'host-gone' : 'dismissed');
        if (event === 'attendee_left' && data.user === this.user) return this.#end(data.reason);
        if (data.user === this.user) return this.#voice.follow();
    }

    #inChat(event, data) {
        if (event === 'message') {
            if (this.messages.some(({id}) => id === data.id)) return;
            this.messages = [...this.messages, data];
            this.emit('message', data);
        } else if (event === 'message_recalled') {
            this.messages = this.messages.map(message => message.id === data.id ? {...message, recalled: true, data: {}} : message);
            this.emit('recalled', data);
        }
        this.emit('change');
    }

    #toUser(event, data) {
        if (event === 'stage_invited') {
            this.invite = data;
            this.emit('invited', data);
        } else if (event === 'stage_invite_ended') {
            this.invite = null;
            this.emit('invite-ended', data);
        } else if (event === 'expelled') {
            this.#end(data.reason);
        }
        this.emit('change');
    }

    #unfollow() {
        this.#off.forEach(off => off());
        this.#early = null;
        this.#loads += 1;
    }

    async #end(reason) {
        if (!this.state) return;
        this.#unfollow();
        this.#voice.stop();
        this.state = null;
        this.invite = null;
        const {media} = this;
        this.media = null;
        await media?.close({ended: true});
        this.emit('ended', {reason});
        this.emit('change');
    }
}

const defined = values => Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));

// crypto.randomUUID() is there over https alone.
const unique = () => [...crypto.getRandomValues(new Uint8Array(16))].map(byte => byte.toString(16).padStart(2, '0')).join('');
