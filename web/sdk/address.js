/** A WHIP or WHEP address as the room service gives it: `url`, and the token that was after `#token=`. */
export function parseAddress(address) {
    const url = new URL(address, location.href);
    const token = new URLSearchParams(url.hash.slice(1)).get('token') ?? '';
    url.hash = '';
    return {url: url.href, token};
}

/** Where the media server has its own API, and the room's name there: from a WHEP or WHIP address, `…/whep/{room}`. */
export function roomOf(address) {
    const {url} = parseAddress(address);
    const [, base, room] = url.match(/^(.*)\/wh[ie]p\/([^/?]+)/) ?? [];
    return {base, room: room && decodeURIComponent(room)};
}
