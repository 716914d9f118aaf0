// Who can speak in the room: a face with a ring as loud as the voice, and how loud he is for this listener alone.

const SILENT_DB = -30;

/** `own`: one's name; `setVolume(user, gain_db)`: null where volumes are not to be set. */
export function showPeople(list, people, {own, setVolume}) {
    while (list.children.length > people.length) list.lastChild.remove();
    people.forEach((person, i) => {
        if (list.children[i]?.dataset.user !== person.user) replace(list, i, newPerson(person.user, own, setVolume));
        show(list.children[i], person, own);
    });
}

function replace(list, i, item) {
    if (list.children[i]) list.children[i].replaceWith(item);
    else list.append(item);
}

function newPerson(user, own, setVolume) {
    const item = element('li');
    item.dataset.user = user;
    const face = element('span', 'face', [...user.trim()].slice(0, 2).join('').toUpperCase());
    face.setAttribute('aria-hidden', 'true');
    face.style.setProperty('--hue', [...user].reduce((sum, letter) => (31 * sum + letter.codePointAt(0)) % 360, 7));
    item.append(face, element('span', 'name', user === own ? `${user} (you)` : user), element('span', 'note'));
    if (user !== own && setVolume) item.append(volume(user, setVolume));
    return item;
}

function volume(user, setVolume) {
    const slider = Object.assign(document.createElement('input'), {type: 'range', min: SILENT_DB, max: 6, step: 3, value: 0});
    slider.setAttribute('aria-label', `How loud ${user} is for you`);
    slider.title = slider.ariaLabel;
    slider.onchange = () => setVolume(user, Number(slider.value) <= SILENT_DB ? -60 : Number(slider.value));
    return slider;
}

function show(item, person, own) {
    // -60 dBov and below shows as silence, -15 and above as full.
    item.style.setProperty('--level', Math.min(1, Math.max(0, (person.level + 60) / 45)).toFixed(2));
    item.classList.toggle('speaking', person.speaking);
    item.classList.toggle('muted', person.muted_by.length > 0 || !person.may_publish || !person.publishing);
    item.classList.toggle('heard', person.heard || person.user === own);
    const words = note(person);
    const shown = item.querySelector('.note');
    if (shown.textContent !== words) shown.textContent = words;
}

function note({may_publish, muted_by, publishing, speaking}) {
    if (!publishing) return 'not connected';
    if (!may_publish) return 'may not speak';
    if (muted_by.includes('host')) return 'muted by the host';
    if (muted_by.length) return 'muted';
    return speaking ? 'speaking' : '';
}

function element(name, className = '', textContent = '') {
    return Object.assign(document.createElement(name), {className, textContent});
}
