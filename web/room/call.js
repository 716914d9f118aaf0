import {MicrophoneError, Ringtone} from '/sdk/index.js';
import {h, icon, text} from './dom.js';
import {sentence, t} from './words.js';

/** A call, above whatever else is shown: it rings, is answered, talks, and ends. */
class CallBar extends HTMLElement {
    current = null;
    #ringtone = new Ringtone();
    #timer = 0;
    #blocked = false;

    /** calls: a Calls, or null when there is nobody any more who could have one. */
    follow(calls) {
        this.calls = calls;
        if (!calls) return this.current?.end({reason: 'lost', duration_s: 0});
        calls.on('incoming', call => this.#take(call));
        calls.on('resumed', call => this.#take(call));
        calls.on('missed', ({by}) => this.app.tell(t('missed-call', {name: by})));
    }

    /** Asks for a name, and calls it. */
    ask() {
        const name = h('input', {name: 'name', required: true, maxlength: 64});
        const dialog = h('dialog', {'aria-label': t('call-somebody')}, h('form', {method: 'dialog'},
            h('h2', {}, t(this.current ? 'add-to-call' : 'call-somebody')),
            h('label', {}, t('who-to-call'), name),
            h('menu', {},
                h('button', {type: 'button', onclick: () => dialog.close()}, t('cancel')),
                h('button', {class: 'primary', value: 'call'}, t('call'))),
        ));
        dialog.onclose = () => {
            dialog.remove();
            if (dialog.returnValue === 'call' && name.value.trim()) this.call([name.value.trim()]);
        };
        this.app.append(dialog);
        dialog.showModal();
    }

    async call(users) {
        await this.app.try(async () => {
            if (this.current) return this.current.invite(users);
            return this.#take(await this.calls.start(users));
        });
    }

    show() {
        const call = this.current;
        this.hidden = !call;
        clearInterval(this.#timer);
        if (!call) return this.replaceChildren();
        const {state} = call;
        if (state === 'ringing') this.#ringtone.start();
        else this.#ringtone.stop();
        const others = call.parties.filter(({user, state: one}) => user !== this.app.account.user && one !== 'out').map(({user}) => user);
        const names = others.join(', ');
        const words = state === 'ringing' ? t('incoming-call', {name: call.caller}) : state === 'calling' ? t('calling', {name: names}) : t('in-call', {names});
        const clock = h('span', {class: 'quiet'});
        const button = (name, act, kind, picture) => h('button', {class: kind, onclick: () => this.app.try(act)}, icon(picture), h('span', {}, t(name)));
        this.replaceChildren(
            h('strong', {class: 'grow', role: 'alert'}, words), clock, ...this.#hints,
            ...state === 'ringing'
                ? [button('accept', () => call.accept(), 'primary', 'phone'), button('decline', () => call.reject(), 'bad', 'close')]
                : [
                    button(call.muted ? 'unmute' : 'mute', () => call.mute(!call.muted), null, call.muted ? 'muted' : 'microphone'),
                    button('add-to-call', () => this.ask(), null, 'plus'),
                    button('hang-up', () => call.hangUp(), 'bad', 'close'),
                ],
        );
        if (state === 'in') {
            const tick = () => text(clock, duration(Date.now() / 1000 - call.view.answered_at));
            tick();
            this.#timer = setInterval(tick, 1000);
        }
    }

    /** What keeps the others from hearing this user, or him from hearing them, and what he may do about it. */
    get #hints() {
        const {microphoneProblem: problem, media} = this.current;
        const hint = (words, name, act) =>
            h('span', {role: 'status'}, words, ' ', h('button', {onclick: () => this.app.try(act)}, t(name)));
        const play = () => {
            this.#block(false);
            return media.play();
        };
        const words = problem && sentence({name: problem, message: t('microphone-problem')});
        return [
            ...problem ? [hint(words, 'retry', () => this.current.useMicrophone())] : [],
            ...this.#blocked ? [hint(t('sound-blocked'), 'sound-on', play)] : [],
        ];
    }

    #block(blocked) {
        this.#blocked = blocked;
        this.show();
    }

    #take(call) {
        this.current = call;
        this.#blocked = false;
        call.media?.on('blocked', () => this.#block(true));  // nobody has touched the page yet that a call goes on in
        call.on('change', () => this.show());
        call.on('media-problem', error => {
            if (!(error instanceof MicrophoneError)) this.app.tell(sentence(error), {bad: true});  // that one is shown while it lasts
        });
        call.on('ended', () => this.#over(call));
        if (call.ended) this.#over(call);  // declined while it was being started
        else this.show();
    }

    #over(call) {
        const {reason, duration_s} = call.ended;
        this.#ringtone.stop();
        if (this.current === call) this.current = null;
        this.app.tell(duration_s ? t('call-lasted', {duration: duration(duration_s)}) : t('call-ended', {reason: t(`reason-${reason}`)}));
        this.show();
    }
}

function duration(seconds) {
    const whole = Math.max(0, Math.floor(seconds));
    return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')}`;
}

customElements.define('call-bar', CallBar);
