// Files that are on their way into the library: they go on while the panel is closed, and end with the room.

import {Emitter} from '/sdk/index.js';
import {h, icon, iconButton, list, set, text} from './dom.js';
import {sentence, t} from './words.js';

const of = new WeakMap();

/** A room's, one after the other, as the service takes them. Each is {file, share, error, cancel}; `error` is null, or what
 * to tell. Events: `change`; `uploaded` (piece). */
class Uploads extends Emitter {
    all = [];
    #room;
    #runs = false;
    #count = 0;

    static of(room) {
        if (!of.has(room)) of.set(room, new Uploads(room));
        return of.get(room);
    }

    constructor(room) {
        super();
        this.#room = room;
        room.on('ended', () => [...this.all].forEach(one => this.cancel(one)));
    }

    add(files) {
        const {max_bytes} = this.#room.uploads;
        for (const file of files) {
            const error = file.size > max_bytes ? t('upload-too-large', {most: Math.floor(max_bytes / 2 ** 20)}) : null;
            this.all = [...this.all, {file, share: 0, error, cancel: new AbortController(), key: this.#count++}];
        }
        this.emit('change');
        this.#run();
    }

    /** Ends it, or takes what was told of it away. */
    cancel(one) {
        one.cancel.abort();
        this.#remove(one);
    }

    async #run() {
        if (this.#runs) return;
        this.#runs = true;
        for (let one; (one = this.all.find(({error}) => error === null));) await this.#send(one);
        this.#runs = false;
    }

    async #send(one) {
        const onProgress = (sent, total) => {
            one.share = sent / total;
            this.emit('change');
        };
        try {
            const piece = await this.#room.uploadMusic(one.file, {onProgress, signal: one.cancel.signal});
            this.#remove(one);
            this.emit('uploaded', piece);
        } catch (error) {
            one.error = sentence(error);
            this.emit('change');
        }
    }

    #remove(one) {
        this.all = this.all.filter(other => other !== one);
        this.emit('change');
    }
}

/** A button, what is under way, and a panel that files can be dropped on. */
class RoomUploads extends HTMLElement {
    #offs = [];

    /** panel: where files may be dropped; uploaded(piece). */
    follow(room, {panel, uploaded}) {
        this.uploads = Uploads.of(room);
        this.files = h('input', {type: 'file', accept: 'audio/*,video/mp4,.flac,.ogg,.opus,.m4a', multiple: true, hidden: true});
        this.files.onchange = () => {
            this.uploads.add(this.files.files);
            this.files.value = '';
        };
        this.list = h('ul', {class: 'uploads', role: 'status'});
        this.replaceChildren(this.files,
            h('div', {class: 'row'}, h('button', {onclick: () => this.files.click()}, icon('plus'), t('upload')), h('span', {class: 'quiet'}, t('upload-hint'))),
            this.list);
        this.#takeDrops(panel);
        this.#offs = [this.uploads.on('change', () => this.show()), this.uploads.on('uploaded', uploaded)];
        this.show();
    }

    disconnectedCallback() {
        this.#offs.forEach(off => off());
    }

    show() {
        list(this.list, this.uploads.all, ({key}) => key, one => h('li', {},
            h('div', {class: 'grow'}, h('p'), h('progress', {max: 1, 'aria-label': one.file.name})),
            iconButton('close', t('cancel-upload', {name: one.file.name}), () => this.uploads.cancel(one)),
        ), (item, {file, share, error}) => {
            const [words, bar] = item.firstChild.children;
            const percent = Math.floor(100 * share);
            text(words, error ? `${file.name}: ${error}` : t(percent === 100 ? 'checking' : 'uploading', {name: file.name, percent}));
            set(words, 'class', error ? 'problem' : null);
            bar.hidden = error !== null;
            bar.value = share;
        });
    }

    #takeDrops(panel) {
        const takes = event => !this.hidden && event.dataTransfer?.types.includes('Files');
        panel.ondragover = event => {
            if (!takes(event)) return;
            event.preventDefault();
            panel.classList.add('dropping');
        };
        panel.ondragleave = event => {
            if (!panel.contains(event.relatedTarget)) panel.classList.remove('dropping');
        };
        panel.ondrop = event => {
            panel.classList.remove('dropping');
            if (!takes(event)) return;
            event.preventDefault();
            this.uploads.add(event.dataTransfer.files);
        };
    }
}

customElements.define('room-uploads', RoomUploads);
