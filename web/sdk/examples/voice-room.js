import {VoiceRoom} from '../index.js';
import {signedIn, telling} from './sign-in.js';

const find = id => document.getElementById(id);
const signaling = await signedIn(find('sign-in'));
let room = null;

// The lobby: rooms that are open.
async function showLobby() {
    find('room').hidden = true;
    find('lobby').hidden = false;
    const {rooms} = await signaling.call('get_room_list');
    find('rooms').replaceChildren(...rooms.map(({id, title, online}) => {
        const item = document.createElement('li');
        const button = item.appendChild(document.createElement('button'));
        button.textContent = `Enter ${title} (${online})`;
        button.onclick = () => telling(async () => {
            const entered = new VoiceRoom(signaling);
            follow(entered);
            await entered.enter(id);
        });
        return item;
    }));
}

find('open').onsubmit = sent => {
    sent.preventDefault();
    const title = sent.target.elements.title.value;
    // 'free': whoever wants a seat takes it; the SDK asks for the microphone then, and sends while there is a seat.
    telling(async () => follow(await VoiceRoom.create(signaling, {title, settings: {seats: 4, mode: 'free'}})));
};

// A room: its seats, who is muted, who speaks.
function follow(entered) {
    room = entered;
    room.on('change', show);
    room.on('media-problem', error => telling(() => { throw error; }));
    room.on('ended', () => {
        room = null;
        telling(showLobby);
    });
    show();
}

function show() {
    if (!room?.state) return;
    find('lobby').hidden = true;
    find('room').hidden = false;
    find('title').textContent = room.state.title;
    find('seats').replaceChildren(...room.state.seats.map(({user, mutes}) => {
        const item = document.createElement('li');
        const speaking = room.media?.people.get(user)?.speaking;
        item.textContent = [user ?? 'free', mutes.length && user ? '(muted)' : '', speaking ? '🔊' : ''].join(' ');
        return item;
    }));
    find('seat').textContent = room.seat === null ? 'Take a seat' : 'Leave the seat';
    find('mute').textContent = room.mutes.includes('self') ? 'Unmute' : 'Mute';
    find('mute').disabled = room.seat === null;
}

// `people` has new levels ten times a second; twice is enough for this.
setInterval(show, 500);
find('seat').onclick = () => telling(() => (room.seat === null ? room.takeSeat() : room.leaveSeat()));
find('mute').onclick = () => telling(() => room.mute(!room.mutes.includes('self')));
find('leave').onclick = () => telling(() => room.leave());
telling(showLobby);
