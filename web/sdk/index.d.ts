/** Named events. `on` returns a function that stops listening. */
export class Emitter<Events> {
    on<Name extends keyof Events>(name: Name, listener: (detail: Events[Name]) => void): () => void;
    once<Name extends keyof Events>(name: Name): Promise<Events[Name]>;
    emit<Name extends keyof Events>(name: Name, detail?: Events[Name]): void;
}

/** A refusal over HTTP; `problem` is its RFC 9457 document. */
export class Refusal extends Error {
    constructor(status: number, problem: {type?: string; title?: string; detail?: string});
    status: number;
    problem: {type?: string; title?: string; detail?: string; [member: string]: unknown};
}

/** There was no answer over HTTP. */
export class Unreachable extends Error {}

/** A refusal by the room service; `problem` is its name (docs/rooms.md), or `no-answer`, `connection-lost`, `closed`. */
export class RpcError extends Error {
    code: number;
    problem: string;
}

/** The microphone cannot be had; `name` is getUserMedia's: NotAllowedError, NotFoundError, …, or InsecureContext. */
export class MicrophoneError extends Error {}

export interface Store {
    getItem(key: string): string | null;
    setItem(key: string, value: string): void;
    removeItem(key: string): void;
}

/** Who the user is to the room service. */
export class Account {
    constructor(options?: {base?: string; store?: Store | null; key?: string});
    readonly user: string;
    readonly device: string;
    logIn(username: string, password: string, options?: {device_id?: string}): Promise<void>;
    token(): Promise<string>;
    /** Without the service, which knows the tokens still. */
    forget(): void;
    logOut(): Promise<void>;
}

export type ConnectionState = 'closed' | 'connecting' | 'connected' | 'reconnecting';

export interface StreamEvent {
    stream: string;
    seq: number;
    at: number;
    event: string;
    data: Record<string, any>;
}

/** One WebSocket to the room service, kept up, of which no event is missed. */
export class Signaling extends Emitter<{
    state: ConnectionState;
    event: StreamEvent;
    reload: string[];
    closed: 'unauthorised' | 'replaced';
}> {
    constructor(options: {url?: string; token: () => Promise<string>});
    readonly state: ConnectionState;
    readonly user: string;
    readonly device: string;
    connect(): Promise<unknown>;
    /** Now, instead of after the pause between two attempts. */
    retry(): void;
    call<Result = any>(method: string, params?: Record<string, unknown>): Promise<Result>;
    upload<Result = any>(
        path: string,
        file: Blob,
        options?: {onProgress?: (sent: number, total: number) => void; signal?: AbortSignal},
    ): Promise<Result>;
    close(): void;
}

export interface Addresses {
    whep: string;
    whip: string;
    capture?: {echo_cancellation: boolean; noise_suppression: boolean; auto_gain_control: boolean; channel_count: number};
}

export type Microphone = boolean | MediaTrackConstraints | MediaStream;

export interface Heard {
    user: string;
    csrc: number;
    may_publish: boolean;
    muted_by: MuteSource[];
    publishing: boolean;
    level: number;
    speaking: boolean;
    heard: boolean;
}

export interface Playing {
    player: string;
    status: 'idle' | 'loading' | 'playing' | 'paused' | 'stalled' | 'ended' | 'failed';
    track?: string;
    title?: string;
    artist?: string;
    position_ms?: number;
    duration_ms?: number;
    at?: number;
    received: number;
}

export interface Statistics {
    roundTripMs?: number;
    receivedLoss?: number;
    sentLoss?: number;
    jitterMs?: number;
    bufferMs?: number;
}

export type Quality = 'good' | 'fair' | 'poor' | 'unknown';
export function quality(statistics: Statistics): Quality;

export interface MediaOptions {
    mode?: 'mix' | 'select';
    slots?: number;
}

/** One person's sound in one room: what he hears, and what he says while he may. It keeps itself connected. */
export class Media extends Emitter<{
    state: ConnectionState;
    people: void;
    players: void;
    published: void;
    unpublished: string;
    warning: '' | 'silent' | 'clipping' | 'talking-muted' | 'talking-muted-by-host';
    moved: string;
    moving: void;
    blocked: void;
    quality: Statistics & {level: Quality};
    ended: {reason: string; problem?: Refusal['problem']};
}> {
    /** A Refusal of addresses() ends it, any other error is tried again. why: how the connection before ended. */
    constructor(options: MediaOptions & {addresses: (why: 'open' | 'closed' | 'lost') => Promise<Addresses>});
    readonly state: ConnectionState;
    readonly people: Map<string, Heard>;
    readonly players: Playing[];
    readonly blocked: boolean;
    readonly musicVolume: number;
    readonly muted: boolean;
    volume: number;
    open(options?: {microphone?: Microphone | null}): Promise<void>;
    publish(microphone?: Microphone): Promise<void>;
    unpublish(reason?: string): Promise<void>;
    setMuted(muted: boolean): void;
    useMicrophone(deviceId: string): Promise<void>;
    useOutput(deviceId: string): Promise<void>;
    setVolumeOf(user: string, gain_db: number): Promise<void>;
    setMusicVolume(gain_db: number): Promise<void>;
    play(): Promise<void>;
    statistics(): Promise<Statistics>;
    restartIce(): Promise<void>;
    close(options?: {keepalive?: boolean; ended?: boolean}): Promise<void>;
}

export type MuteSource = 'self' | 'host' | 'system';
export type Role = 'host' | 'admin' | 'speaker' | 'listener' | 'stranger';
export type SeatMode = 'free' | 'request' | 'invitation';

export interface Seat {
    seat: number;
    user: string | null;
    locked: boolean;
    mutes: MuteSource[];
}

export interface Attendee {
    user: string;
    role: Role;
    seat: number | null;
    mutes: MuteSource[];
    nick: string;
    avatar: string;
    extra: string;
    away: boolean;
}

export interface RoomSettings {
    seats?: number;
    mode?: SeatMode;
    capacity?: number;
    away_grace_s?: number;
    host_grace_s?: number;
    host_gone?: string;
    invite_s?: number;
    scenario?: 'chat' | 'ktv' | 'call';
}

export interface RoomState {
    id: string;
    title: string;
    notice: string;
    host: string;
    admins: string[];
    settings: Required<RoomSettings>;
    seats: Seat[];
    hands: {user: string; seat: number | null; raised_at: number}[];
    invites: {user: string; by: string | null; seat: number | null; until: number | null}[];
    info: Record<string, string>;
    info_version: number;
    likes: number;
    online: number;
    talking: string[];
    people: Map<string, Attendee>;
}

export function roomState(view: Omit<RoomState, 'people'> & {own: Attendee | null}, attendees: Attendee[]): RoomState;
export function applied(state: RoomState, event: string, data: Record<string, any>): RoomState;
export function roleOf(state: RoomState, user: string): Role;
export function seatOf(state: RoomState, user: string): number | null;
export function leads(state: RoomState, user: string): boolean;

export interface Message {
    id: string;
    number: number;
    by: string;
    type: 'text' | 'custom' | 'media';
    at: number;
    data: {text?: string; mentions?: string[]; media?: unknown};
    recalled?: boolean;
}

/** Of the media library. */
export interface Piece {
    id: string;
    title?: string;
    artist?: string;
    duration_s: number;
    size: number;
}

/** A voice room as an app uses it. Every method rejects with RpcError and changes nothing when it is refused. */
export class VoiceRoom extends Emitter<{
    change: void;
    event: {event: string; data: Record<string, any>; at: number};
    message: Message;
    recalled: {id: string};
    invited: {by: string | null; seat: number | null; until: number | null};
    'invite-ended': {how: string};
    'media-problem': Error;
    ended: {reason: 'left' | 'dismissed' | 'host-gone' | 'kicked' | 'banned' | 'lost' | 'refused'};
}> {
    constructor(signaling: Signaling, options?: MediaOptions);
    static create(
        signaling: Signaling,
        wishes: MediaOptions & {title: string; notice?: string; cover_url?: string; settings?: RoomSettings; nick?: string; avatar?: string},
    ): Promise<VoiceRoom>;
    readonly state: RoomState | null;
    readonly messages: Message[];
    readonly media: Media | null;
    readonly invite: {by: string | null; seat: number | null} | null;
    readonly id: string | undefined;
    readonly user: string;
    readonly role: Role;
    readonly seat: number | null;
    readonly leads: boolean;
    readonly mutes: MuteSource[];
    microphone: Microphone;
    /** Of a MicrophoneError, while a seat is taken without a microphone. */
    readonly microphoneProblem: string;
    useMicrophone(microphone?: Microphone): Promise<void>;
    enter(room: string, as?: {nick?: string; avatar?: string; extra?: string}): Promise<void>;
    takeSeat(seat?: number): Promise<unknown>;
    leaveSeat(): Promise<unknown>;
    moveSeat(seat: number, user?: string): Promise<unknown>;
    requestSeat(seat?: number): Promise<unknown>;
    lowerHand(): Promise<unknown>;
    approve(user: string, seat?: number): Promise<unknown>;
    reject(user: string): Promise<unknown>;
    inviteToSeat(user: string, seat?: number): Promise<unknown>;
    answerInvite(accept: boolean): Promise<unknown>;
    mute(muted?: boolean): Promise<void>;
    muteUser(user: string, muted?: boolean): Promise<unknown>;
    lockSeat(seat: number, locked?: boolean): Promise<unknown>;
    setListener(user: string): Promise<unknown>;
    kick(user: string): Promise<unknown>;
    ban(user: string, seconds?: number | null): Promise<unknown>;
    makeHost(user: string): Promise<unknown>;
    setAdmin(user: string, admin?: boolean): Promise<unknown>;
    configure(settings: RoomSettings): Promise<unknown>;
    like(count?: number): Promise<unknown>;
    setInfo(values: Record<string, string | null>, version?: number): Promise<unknown>;
    sendCommand(text: string, to?: string): Promise<unknown>;
    sendMessage(text: string): Promise<Message>;
    recallMessage(id: string): Promise<unknown>;
    playMusic(document: Record<string, unknown>, player?: string): Promise<unknown>;
    controlMusic(
        action: 'play' | 'pause' | 'stop' | 'next' | 'previous' | 'seek' | 'volume',
        more?: {track?: string; position_ms?: number; volume_db?: number},
        player?: string,
    ): Promise<unknown>;
    stopMusic(player?: string): Promise<unknown>;
    readonly uploads: {allowed: boolean; max_bytes: number} | null;
    library(search?: string): Promise<(Piece & {own: boolean})[]>;
    uploadMusic(
        file: Blob,
        options?: {title?: string; onProgress?: (sent: number, total: number) => void; signal?: AbortSignal},
    ): Promise<Piece>;
    deleteMusic(id: string): Promise<unknown>;
    players(): Promise<Record<string, any>[]>;
    soundSettings(): Promise<{ducking_db: number; places: boolean}>;
    configureSound(wishes: {ducking_db?: number; places?: boolean}): Promise<unknown>;
    playEffect(sound: string, options?: {gain_db?: number; audience?: string | string[]}): Promise<unknown>;
    sounds(): Promise<string[]>;
    setVolume(gain_db: number, user?: string | null): Promise<void>;
    leave(): Promise<void>;
    dismiss(): Promise<void>;
    abandon(): void;
}

export interface Party {
    user: string;
    state: 'ringing' | 'in' | 'out';
    by: string;
    mutes: MuteSource[];
    reason: string | null;
}

/** One call, from its first ring to its end. */
export class Call extends Emitter<{
    change: void;
    ended: {reason: string; duration_s: number};
    'media-problem': Error;
}> {
    readonly id: string;
    readonly caller: string;
    readonly parties: Party[];
    readonly own: Party | undefined;
    readonly state: 'ringing' | 'calling' | 'in' | 'ended';
    readonly ended: {reason: string; duration_s: number} | null;
    readonly muted: boolean;
    readonly media: Media | null;
    /** Of a MicrophoneError, while the others do not hear this user for it. */
    readonly microphoneProblem: string;
    useMicrophone(microphone?: Microphone): Promise<void>;
    accept(): Promise<void>;
    reject(data?: string): Promise<void>;
    hangUp(): Promise<void>;
    invite(users: string[]): Promise<void>;
    mute(muted?: boolean): Promise<void>;
    muteUser(user: string, muted?: boolean): Promise<void>;
    remove(user: string): Promise<void>;
    handOver(user: string): Promise<void>;
}

/** The calls that this user makes, and those that come. */
export class Calls extends Emitter<{
    incoming: Call;
    resumed: Call;
    missed: {call: string; by: string; reason: string};
}> {
    constructor(signaling: Signaling, options?: MediaOptions & {microphone?: Microphone});
    start(users: string[], options?: {data?: string}): Promise<Call>;
    resume(): Promise<void>;
    history(options?: {before?: number; limit?: number}): Promise<unknown[]>;
}

export interface Device {
    id: string;
    name: string;
}

export function devices(): Promise<{microphones: Device[]; outputs: Device[]}>;

/** How loud a microphone is, in dBFS. */
export class Meter {
    constructor(stream: MediaStream);
    readonly level: number;
    stop(): void;
}

/** A phone that rings, made in the page. */
export class Ringtone {
    start(): void;
    stop(): void;
}
