// Rings while no page is open: a notification for who is called; a click on it opens the page, which then rings itself.

self.addEventListener('push', event => {
    const {event: kind, data = {}} = event.data?.json() ?? {};
    const calls = kind === 'call_incoming' || kind === 'call';
    const title = calls ? `${data.by ?? data.caller ?? ''} is calling` : data.by ? `${data.by}: ${data.text ?? ''}` : 'Voice rooms';
    event.waitUntil(self.registration.showNotification(title, {
        tag: data.call ?? data.conversation ?? kind,
        icon: '/favicon.svg',
        requireInteraction: calls,
        data,
    }));
});

self.addEventListener('notificationclick', event => {
    event.notification.close();
    event.waitUntil((async () => {
        const [page] = await self.clients.matchAll({type: 'window', includeUncontrolled: true});
        await (page ? page.focus() : self.clients.openWindow('/'));
    })());
});
