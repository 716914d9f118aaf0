import {h} from './dom.js';
import {sentence, t} from './words.js';

/** problem: key of the words that say why one is here again. */
class VoiceLogin extends HTMLElement {
    problem = '';

    connectedCallback() {
        const problem = h('p', {class: 'problem', role: 'alert', hidden: !this.problem}, this.problem && t(this.problem));
        const button = h('button', {class: 'primary'}, t('login'));
        const form = h('form', {class: 'card'},
            h('h1', {}, t('title')),
            h('label', {}, t('name'), h('input', {name: 'name', required: true, maxlength: 64, autocomplete: 'username'})),
            h('label', {}, t('password'), h('input', {name: 'password', type: 'password', required: true, autocomplete: 'current-password'})),
            h('p', {class: 'quiet'}, t('login-hint')),
            problem, button,
            h('button', {type: 'button', class: 'link', onclick: () => this.app.switchLanguage()}, t('language')),
        );
        form.onsubmit = async event => {
            event.preventDefault();
            button.disabled = true;
            problem.hidden = true;
            const {name, password} = Object.fromEntries(new FormData(form));
            try {
                await this.app.logIn(name.trim(), password);
            } catch (error) {
                problem.textContent = error.status === 401 || error.status === 403 ? t('wrong-password') : sentence(error);
                problem.hidden = false;
            }
            button.disabled = false;
        };
        this.replaceChildren(form);
        form.elements.namedItem('name').focus();
    }
}

customElements.define('voice-login', VoiceLogin);
