// The media library, of which host and admins choose: what there is, or why there is nothing to be seen.

import {h, iconButton, list, set, text} from './dom.js';
import './uploads.js';
import {t} from './words.js';

const TYPED_MS = 250;
// How soon an empty library, or one that could not be had, is looked at again by itself.
const AGAIN_MS = 10_000;

/** `data-state` is 'loading', 'there', 'empty', 'nothing-found', 'no-library' or 'failed'. It is loaded when the panel is
    opened, when the page is seen again, when there is a connection again, and when reload() is called. */
class RoomLibrary extends HTMLElement {
    pieces = [];
    #known = new Map();  // id -> a piece, whatever is searched for now
    #turn = 0;
    #timer = 0;
    #offs = [];

    /** choose(pieces, index): it shall be played; changed(): there are other pieces; panel: where files may be dropped. */
    follow(app, room, {person, panel, choose, changed}) {
        Object.assign(this, {app, room, person, choose, changed});
        this.search = h('input', {type: 'search', placeholder: t('search-library'), 'aria-label': t('search-library')});
        this.search.oninput = () => this.#soon(TYPED_MS);
        this.list = h('ul', {class: 'pieces'});
        this.words = h('p', {});
        this.again = h('button', {onclick: () => this.reload()}, t('retry'));
        this.nothing = h('div', {class: 'empty', role: 'status'}, this.words, this.again);
        this.address = h('form', {class: 'write'},
            h('input', {name: 'url', type: 'url', required: true, placeholder: t('address'), 'aria-label': t('address')}),
            iconButton('play', t('play-address'), undefined, {type: 'submit'}));
        this.address.onsubmit = event => {
            event.preventDefault();
            choose([{url: this.address.url.value}], 0);
        };
        this.uploads = h('room-uploads', {hidden: true});
        this.uploads.follow(room, {panel, uploaded: piece => this.#uploaded(piece)});
        this.replaceChildren(h('h3', {}, t('library')), this.search, this.nothing, this.list, this.uploads, this.address);
        const seen = () => document.hidden || this.reload();
        document.addEventListener('visibilitychange', seen);
        this.#offs = [
            () => document.removeEventListener('visibilitychange', seen),
            app.signaling.on('state', state => state === 'connected' && this.reload()),
        ];
        return this.reload();
    }

    disconnectedCallback() {
        this.#turn += 1;
        clearTimeout(this.#timer);
        this.#offs.forEach(off => off());
    }

    /** A piece that was seen here, or undefined. */
    piece(id) {
        return this.#known.get(id);
    }

    /** Marks what plays, by the key of its track. */
    mark(track) {
        for (const item of this.list.children) item.classList.toggle('current', item.dataset.key === track);
    }

    async reload() {
        const turn = ++this.#turn;
        const search = this.search.value.trim();
        clearTimeout(this.#timer);
        if (this.dataset.state !== 'there') this.#become('loading');
        try {
            const pieces = await this.room.library(search);
            if (turn !== this.#turn) return;
            this.pieces = pieces;
            for (const piece of pieces) this.#known.set(piece.id, piece);
            this.#become(pieces.length ? 'there' : search ? 'nothing-found' : 'empty');
        } catch (error) {
            if (turn !== this.#turn) return;
            this.pieces = [];
            this.#become(error.problem === 'no-library' ? 'no-library' : 'failed');
        }
        this.#showPieces();
        this.uploads.hidden = !this.room.uploads?.allowed || this.dataset.state === 'no-library';
        if (['empty', 'failed'].includes(this.dataset.state)) this.#soon(AGAIN_MS);
        this.changed();
    }

    #soon(milliseconds) {
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => this.reload(), milliseconds);
    }

    #become(state) {
        set(this, 'data-state', state);
        set(this, 'aria-busy', String(state === 'loading'));
        this.nothing.hidden = state === 'there';
        this.again.hidden = state !== 'failed';
        this.search.hidden = ['empty', 'no-library'].includes(state);
        text(this.words, state === 'there' ? '' : t(`library-${state}`));
    }

    #showPieces() {
        list(this.list, this.pieces, ({id}) => id, ({id}) => {
            const play = h('button', {class: 'piece', onclick: () => this.choose(this.pieces, this.pieces.findIndex(piece => piece.id === id))},
                h('strong', {class: 'grow'}), h('span', {class: 'quiet'}));
            return h('li', {}, play, iconButton('bin', '', () => this.#delete(this.piece(id))));
        }, (item, piece) => {
            const [play, bin] = item.children;
            const [title, more] = play.children;
            text(title, piece.title || piece.id);
            text(more, [piece.artist, time(1000 * piece.duration_s)].filter(Boolean).join(' · '));
            bin.hidden = !piece.own;
            set(bin, 'aria-label', t('delete-piece', {title: piece.title || piece.id}));
            set(bin, 'title', t('delete'));
        });
    }

    #uploaded(piece) {
        this.app.tell(t('uploaded', {title: piece.title || piece.id}));
        this.search.value = '';
        return this.reload();
    }

    async #delete({id, title}) {
        if (await this.person.ask(t('sure-delete', {title: title || id}), [['delete', t('delete')]]) !== 'delete') return;
        await this.app.try(() => this.room.deleteMusic(id));
        await this.reload();
    }
}

/** Minutes and seconds. */
export function time(milliseconds) {
    const seconds = Math.floor(milliseconds / 1000);
    return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
}

customElements.define('room-library', RoomLibrary);
