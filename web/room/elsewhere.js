import {h} from './dom.js';
import {t} from './words.js';

/** Another device or tab has taken this one's place. */
class VoiceElsewhere extends HTMLElement {
    connectedCallback() {
        const {app} = this;
        const here = h('button', {class: 'primary', onclick: () => app.start()}, t('go-on-here'));
        this.replaceChildren(h('div', {class: 'card', role: 'alert'},
            h('h1', {}, t('elsewhere')),
            h('p', {class: 'quiet'}, t('elsewhere-hint')),
            here,
            h('button', {class: 'link', onclick: () => app.askName()}, t('other-name')),
        ));
        here.focus();
    }
}

customElements.define('voice-elsewhere', VoiceElsewhere);
