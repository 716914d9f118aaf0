const SVG = 'http://www.w3.org/2000/svg';
const WIDTH = 300, HEIGHT = 72;
const SPAN_MS = 5 * 60 * 1000;

/** A line for each of some values over the last five minutes. */
export class Chart {
    #series = new Map();  // label -> [[time in ms, value]]

    /** unit: after numbers. top: what the axis reaches at least; limit: a line that says what is too much. */
    constructor(title, {unit, top, limit, digits = 0}) {
        Object.assign(this, {title, unit, top, limit, digits});
        this.element = document.createElement('figure');
        this.svg = node('svg', {viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img', 'aria-label': title});
        this.caption = document.createElement('figcaption');
        this.element.append(this.caption, this.svg);
    }

    /** values: {label: number}. Labels that are left out end. */
    add(values, now = Date.now()) {
        for (const label of this.#series.keys()) if (!(label in values)) this.#series.delete(label);
        for (const [label, value] of Object.entries(values)) {
            const points = this.#series.get(label) ?? [];
            points.push([now, value]);
            while (points[0][0] < now - SPAN_MS) points.shift();
            this.#series.set(label, points);
        }
        this.#draw(now);
    }

    #draw(now) {
        const all = [...this.#series.values()].flat().map(([, value]) => value);
        const top = Math.max(this.top, ...all) * 1.05;
        const y = value => HEIGHT - HEIGHT * value / top;
        const lines = [...this.#series.values()].map((points, i) => node('polyline', {
            class: `line line-${i % 4}`,
            points: points.map(([at, value]) => `${(WIDTH * (1 - (now - at) / SPAN_MS)).toFixed(1)},${y(value).toFixed(1)}`).join(' '),
        }));
        const limit = this.limit !== undefined && this.limit < top
            ? [node('line', {class: 'limit', x1: 0, x2: WIDTH, y1: y(this.limit), y2: y(this.limit)})] : [];
        this.svg.replaceChildren(...limit, ...lines);
        const latest = [...this.#series.values()].map(points => points.at(-1)[1]);
        const text = latest.map(value => value.toFixed(this.digits)).join(' · ');
        this.caption.replaceChildren(this.title, Object.assign(document.createElement('strong'), {textContent: `${text} ${this.unit}`}));
        this.svg.setAttribute('aria-label', `${this.title}: now ${text} ${this.unit}, at most ${Math.max(0, ...all).toFixed(this.digits)} in the last five minutes`);
    }
}

function node(name, attributes) {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
}
