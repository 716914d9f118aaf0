// Says what happens while no page is open: who calls, who called, what was written. A click opens the page, which rings itself.

const WORDS = {
    en: {title: 'Voice rooms', calls: '{name} is calling', missed: '{name} called', invites: '{name} invites you', open: 'Click to answer', message: 'New message'},
    zh: {title: '语音房', calls: '{name} 来电', missed: '{name} 打来过电话', invites: '{name} 邀请你', open: '点击接听', message: '新消息'},
};
const words = WORDS[new URL(self.location).searchParams.get('language')] ?? WORDS.en;

// Of a call that has stopped ringing: those that nobody here has answered.
const MISSED = ['timed out', 'cancelled', 'removed', 'crashed'];

self.addEventListener('push', event => event.waitUntil(show(read(event.data))));

self.addEventListener('notificationclick', event => {
    event.notification.close();
    event.waitUntil(open());
});

/** {event, data} of the service, or neither of something else. */
function read(pushed) {
    try {
        return pushed.json();
    } catch {
        return {};
    }
}

function show({event, data = {}}) {
    switch (event) {
        case 'call_incoming':
            return notify(named(words.calls, data.by), {tag: data.call, body: words.open, requireInteraction: true});
        case 'call_stopped':
            return MISSED.includes(data.reason) ? notify(named(words.missed, data.by), {tag: data.call, requireInteraction: true}) : close(data.call);
        case 'message':
            return notify(data.by, {tag: data.group ?? data.by, body: data.text || words.message, renotify: true});
        case 'invitation_received':
            return notify(named(words.invites, data.inviter), {tag: data.id});
        default:
            return notify(words.title);
    }
}

const notify = (title, options = {}) => self.registration.showNotification(title, {icon: '/favicon.svg', ...options});

const named = (text, name) => text.replace('{name}', name);

async function close(tag) {
    for (const shown of await self.registration.getNotifications({tag})) shown.close();
}

async function open() {
    const [page] = await self.clients.matchAll({type: 'window', includeUncontrolled: true});
    await (page ? page.focus() : self.clients.openWindow('/'));
}
