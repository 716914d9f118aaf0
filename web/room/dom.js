/** An element: h('button', {class: 'primary', onclick}, 'Text', child). Attributes that are false or null are left out. */
export function h(name, attributes = {}, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
        if (key.startsWith('on')) element[key] = value;
        else set(element, key, value);
    }
    element.append(...children.flat().filter(child => child !== null && child !== undefined && child !== false));
    return element;
}

/** Sets an attribute, or takes it away; nothing happens when it is so already. */
export function set(element, name, value) {
    const text = value === true ? '' : value;
    if (value === false || value === null || value === undefined) element.removeAttribute(name);
    else if (element.getAttribute(name) !== String(text)) element.setAttribute(name, text);
}

export function text(element, value) {
    if (element.textContent !== value) element.textContent = value;
}

/** A picture of one colour that is drawn in the text's: a path in 24 by 24. */
export function icon(name) {
    const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
    svg.setAttribute('viewBox', '0 0 24 24');
    svg.setAttribute('aria-hidden', 'true');
    const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
    path.setAttribute('d', PATHS[name]);
    svg.append(path);
    return svg;
}

/** A button with a picture; its label is read aloud and shown as a hint. */
export function iconButton(name, label, onclick, attributes = {}) {
    return h('button', {type: 'button', 'aria-label': label, title: label, onclick, ...attributes, class: `icon ${attributes.class ?? ''}`}, icon(name));
}

/** Children for items, kept by their keys, so that what has the focus keeps it. make(item) makes one, show(element, item)
    brings it up to date. */
export function list(parent, items, keyOf, make, show) {
    const known = new Map([...parent.children].map(child => [child.dataset.key, child]));
    const children = items.map(item => {
        const key = String(keyOf(item));
        const child = known.get(key) ?? make(item);
        child.dataset.key = key;
        show(child, item);
        return child;
    });
    if (children.length !== parent.children.length || children.some((child, i) => child !== parent.children[i])) {
        parent.replaceChildren(...children);
    }
}

/** Two letters and a colour for who has no picture. */
export function face(element, name) {
    element.dataset.initials = [...name.trim()].slice(0, 2).join('').toUpperCase();
    element.style.setProperty('--hue', [...name].reduce((sum, letter) => (31 * sum + letter.codePointAt(0)) % 360, 7));
}

const PATHS = {
    microphone: 'M12 15a3.5 3.5 0 0 0 3.5-3.5v-5a3.5 3.5 0 0 0-7 0v5A3.5 3.5 0 0 0 12 15zm6-3.5a6 6 0 0 1-12 0H4a8 8 0 0 0 7 7.9V22h2v-2.6a8 8 0 0 0 7-7.9z',
    muted: 'M3.3 2 2 3.3l6.5 6.5v1.7a3.5 3.5 0 0 0 4.6 3.3l1.6 1.6A6 6 0 0 1 6 11.500H4a8 8 0 0 0 7 7.900V22h2v-2.600a8 8 0 0 0 3.100-1.100l4.600 4.600 1.300-1.300zM15.500 11V6.500a3.500 3.500 0 0 0-6.700-1.400L15.500 11.800zM18 11.500c0 .9-.2 1.700-.5 2.400l1.500 1.500a8 8 0 0 0 1-3.900z',
    hand: 'M21 7.500v8A6.500 6.500 0 0 1 14.500 22c-2.600 0-4.400-1-5.700-3L4 11.300c-.5-.8-.2-1.600.4-2 .6-.4 1.400-.2 1.900.3L9 12.500V4.500a1.500 1.500 0 0 1 3 0V11h.8V2.700a1.500 1.500 0 0 1 3 0V11h.7V4.200a1.500 1.500 0 0 1 3 0V11h.5V7.500a1 1 0 0 1 1-1z',
    chair: 'M7 3h10v9H7zM5 8v6h14V8h2v8h-3v5h-2v-5H8v5H6v-5H3V8z',
    down: 'M12 16.500 4.500 9 6 7.500l6 6 6-6L19.500 9z',
    chat: 'M4 3h16a2 2 0 0 1 2 2v10a2 2 0 0 1-2 2H9l-5 5V17a2 2 0 0 1-2-2V5a2 2 0 0 1 2-2z',
    music: 'M9 17.500A3 3 0 1 1 7 14.700V4l12-2v12.500a3 3 0 1 1-2-2.800V7.300L9 8.600z',
    people: 'M9 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zm8 0a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM1 20c0-4 3.600-6 8-6s8 2 8 6zm18.500 0h3.500c0-3-2.300-5-5.500-5.300 1.300 1.300 2 3 2 5.300z',
    heart: 'M12 21 3.500 12.700A5.400 5.400 0 0 1 11 5l1 1 1-1a5.400 5.400 0 0 1 7.500 7.700z',
    gear: 'M10.500 2h3l.5 2.700 1.700.7L18 4l2 2-1.500 2.300.7 1.700 2.800.5v3l-2.800.500-.7 1.700L20 18l-2 2-2.300-1.500-1.700.7-.5 2.800h-3l-.5-2.800-1.700-.7L6 20l-2-2 1.500-2.300-.7-1.700L2 13.500v-3l2.800-.5.7-1.700L4 6l2-2 2.300 1.400 1.700-.7zM12 15.500a3.500 3.500 0 1 0 0-7 3.500 3.500 0 0 0 0 7z',
    leave: 'M10 3v2H5v14h5v2H3V3zm6.500 4.500L21 12l-4.500 4.500-1.400-1.400 2.100-2.100H9v-2h8.200l-2.100-2.100z',
    close: 'm12 10.300 5.700-5.700 1.700 1.700-5.700 5.700 5.700 5.700-1.700 1.700-5.700-5.700-5.700 5.700-1.700-1.700 5.700-5.700-5.700-5.700 1.700-1.700z',
    lock: 'M6 10V7.500a6 6 0 0 1 12 0V10h2v12H4V10zm2.500 0h7V7.500a3.500 3.500 0 0 0-7 0z',
    plus: 'M11 4h2v7h7v2h-7v7h-2v-7H4v-2h7z',
    phone: 'M6.600 2.500 10 3.200l1 5-2.300 1.800c1 2.200 2.600 3.900 5 5.100l1.900-2.300 5 1 .7 3.400c.3 1.500-.8 3.300-2.700 3.300C10.300 20.500 3.500 13.500 3.300 5.200c0-1.900 1.800-3 3.300-2.700z',
    play: 'M7 4.500v15L20 12z',
    pause: 'M6.500 5H10v14H6.500zM14 5h3.500v14H14z',
    next: 'M15.500 5H18v14h-2.500zM4 5v14l10.500-7z',
    previous: 'M6 5h2.500v14H6zM20 5v14L9.500 12z',
    send: 'M2 21 23 12 2 3v7l14 2-14 2z',
    bin: 'M9 3h6l1 2h4v2H4V5h4zM6 9h12l-1 12H7zm3.500 2v8h1.500v-8zm3.500 0v8h1.500v-8z',
    more: 'M6 10a2 2 0 1 1 0 4 2 2 0 0 1 0-4zm6 0a2 2 0 1 1 0 4 2 2 0 0 1 0-4zm6 0a2 2 0 1 1 0 4 2 2 0 0 1 0-4z',
    signal: 'M3 15h4v6H3zm7-5h4v11h-4zm7-7h4v18h-4z',
};
