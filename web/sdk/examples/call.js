import {Calls, Ringtone} from '../index.js';
import {signedIn, telling} from './sign-in.js';

const find = id => document.getElementById(id);
const signaling = await signedIn(find('sign-in'));
const calls = new Calls(signaling);
const ringtone = new Ringtone();
let call = null;
let outcome = '';

function show() {
    const others = call.parties.filter(({user, state}) => user !== signaling.user && state !== 'out').map(({user}) => user);
    find('state').textContent = {
        ringing: `${call.caller} calls you.`,
        calling: `It rings at ${others.join(' and ')}.`,
        in: `You are talking with ${others.join(' and ')}.`,
        ended: outcome,
    }[call.state];
    find('accept').hidden = find('decline').hidden = call.state !== 'ringing';
    find('mute').hidden = call.state !== 'in';
    find('hang-up').hidden = !['calling', 'in'].includes(call.state);
    find('mute').textContent = call.muted ? 'Unmute' : 'Mute';
    find('dial').hidden = call.state !== 'ended';
    if (call.state === 'ringing') ringtone.start();
    else ringtone.stop();
}

function follow(another) {
    call = another;
    call.on('change', show);
    call.on('media-problem', error => telling(() => { throw error; }));
    call.on('ended', over);
    if (call.ended) over(call.ended);  // declined while it was being started
    else show();
}

function over({reason, duration_s}) {
    outcome = `The call is over after ${Math.round(duration_s)} s (${reason}).`;
    show();
}

calls.on('incoming', follow);
calls.on('resumed', follow);
calls.on('missed', ({by}) => {
    find('state').textContent = `${by} has called while you were busy.`;
});
find('dial').onsubmit = sent => {
    sent.preventDefault();
    telling(async () => follow(await calls.start([sent.target.elements.whom.value])));
};
find('accept').onclick = () => telling(() => call.accept());
find('decline').onclick = () => telling(() => call.reject());
find('hang-up').onclick = () => telling(() => call.hangUp());
find('mute').onclick = () => telling(() => call.mute(!call.muted));
find('phone').hidden = false;
telling(() => calls.resume());  // one that rang, or that he was in, before this page was open
