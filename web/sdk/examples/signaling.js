import {signedIn, telling} from './sign-in.js';

const find = id => document.getElementById(id);
const signaling = await signedIn(find('sign-in'));

find('send').onsubmit = sent => {
    sent.preventDefault();
    const {method, params} = sent.target.elements;
    telling(async () => {
        find('answer').textContent = '';
        const answer = await signaling.call(method.value, JSON.parse(params.value));
        find('answer').textContent = JSON.stringify(answer, null, 4);
    });
};

// A connection that breaks is made anew, and what was told meanwhile comes then: each event once, in its stream's order.
const showState = () => {
    find('state').textContent = `${signaling.user}, ${signaling.state}`;
};
signaling.on('state', showState);
signaling.on('event', ({stream, seq, event, data}) => {
    find('events').prepend(`${stream} ${seq}  ${event} ${JSON.stringify(data)}\n`);
});
showState();
find('console').hidden = false;
