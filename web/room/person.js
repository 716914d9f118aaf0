import {h, text} from './dom.js';
import {t} from './words.js';

const BAN_S = 3600;

/** What can be done with a seat or a person, in a dialog: by the role of who looks. */
export class Person {
    #dialog = null;

    constructor(app, room) {
        Object.assign(this, {app, room});
    }

    openSeat(number) {
        const {state} = this.room;
        const {user, locked} = state.seats[number];
        if (user !== null) return this.open(user);
        const actions = [];
        if (!locked || this.room.leads) {
            if (this.room.seat !== null) actions.push(['move-here', () => this.room.moveSeat(number)]);
            else if (state.settings.mode === 'free' || this.room.leads) actions.push(['sit-here', () => this.room.takeSeat(number)]);
            else if (state.settings.mode === 'request') actions.push(['raise-hand', () => this.room.requestSeat(number)]);
        }
        if (this.room.leads) actions.push([locked ? 'unlock-seat' : 'lock-seat', () => this.room.lockSeat(number, !locked)]);
        if (actions.length) this.#show(t(locked ? 'locked-seat' : 'free-seat', {seat: number + 1}), [], actions);
    }

    open(user) {
        const {room, app} = this;
        const own = user === room.user;
        const person = room.state.people.get(user);
        const name = person?.nick || user;
        this.#show(own ? t('you', {name}) : name, own ? [] : [this.#volume(user, name)], own ? this.#own() : [
            ...this.#lead(user, name, person),
            ['call', () => app.querySelector('call-bar').call([user])],
        ]);
    }

    /** The value of the button that was pressed, of [value, words] each; undefined when it was none. */
    ask(question, choices) {
        return new Promise(resolve => {
            const dialog = this.#make(question, [], h('menu', {},
                ...choices.map(([value, words], i) => h('button', {class: i === 0 ? 'primary' : null, onclick: () => {
                    resolve(value);
                    dialog.close();
                }}, words)),
                h('button', {onclick: () => dialog.close()}, t('cancel')),
            ));
            dialog.addEventListener('close', () => resolve(undefined));
        });
    }

    close() {
        this.#dialog?.close();
    }

    #own() {
        const {room} = this;
        if (room.seat === null) return [];
        const muted = room.mutes.includes('self');
        return [[muted ? 'unmute' : 'mute', () => room.mute(!muted)], ['leave-seat', () => room.leaveSeat()]];
    }

    #lead(user, name, person) {
        const {room} = this;
        if (!room.leads) return [];
        const {state} = room;
        const seated = state.seats.find(seat => seat.user === user);
        const muted = seated?.mutes.includes('host');
        const isAdmin = state.admins.includes(user);
        const actions = [];
        if (seated) actions.push([muted ? 'unmute' : 'mute', () => room.muteUser(user, !muted)], ['set-listener', () => room.setListener(user)]);
        else if (person) actions.push(['invite-seat', () => room.inviteToSeat(user)]);
        if (room.role === 'host') actions.push([isAdmin ? 'no-admin' : 'make-admin', () => room.setAdmin(user, !isAdmin)], ['make-host', () => room.makeHost(user)]);
        if (user !== state.host) {
            actions.push(['kick', () => this.#sure(t('sure-kick', {name}), () => room.kick(user))]);
            actions.push(['ban', () => this.#sure(t('sure-ban', {name}), () => room.ban(user, BAN_S))]);
        }
        return actions;
    }

    async #sure(question, action) {
        if (await this.ask(question, [['yes', t('yes')]]) === 'yes') await action();
    }

    #volume(user, name) {
        const output = h('output', {}, '0 dB');
        const slider = h('input', {type: 'range', min: -30, max: 6, step: 3, value: this.room.volumes?.get(user) ?? 0});
        const show = () => text(output, Number(slider.value) <= -30 ? '–' : `${slider.value} dB`);
        slider.oninput = show;
        slider.onchange = () => this.app.try(async () => {
            const gain = Number(slider.value);
            await this.room.setVolume(gain <= -30 ? -60 : gain, user);
            this.room.volumes = new Map(this.room.volumes ?? []).set(user, gain);
        });
        show();
        return h('label', {class: 'slider'}, t('volume-of', {name}), slider, output);
    }

    #show(title, controls, actions) {
        const dialog = this.#make(title, controls, h('menu', {class: 'column'},
            ...actions.map(([words, act]) => h('button', {onclick: () => {
                dialog.close();
                this.app.try(act);
            }}, t(words))),
            h('button', {class: 'link', onclick: () => dialog.close()}, t('close')),
        ));
    }

    #make(title, controls, menu) {
        this.close();
        const dialog = this.#dialog = h('dialog', {'aria-label': title}, h('h2', {}, title), ...controls, menu);
        dialog.addEventListener('close', () => dialog.remove());
        dialog.onclick = event => event.target === dialog && dialog.close();
        this.app.append(dialog);
        dialog.showModal();
        return dialog;
    }
}
