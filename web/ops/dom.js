export function element(name, text = '', attributes = {}) {
    return Object.assign(document.createElement(name), {textContent: text}, attributes);
}

/** A cell with a number to two digits, or a dash where there is none. */
export function number(value, unit) {
    const text = Number.isFinite(value) ? `${value.toFixed(value < 10 && value > 0 ? 1 : 0)} ${unit}` : '–';
    return element('td', text, {className: 'number'});
}

export function count(value) {
    return element('td', value.toLocaleString(), {className: 'number'});
}

/** Table rows for items, of which those that have not changed stay as they are. `cellsOf(item)` are an item's cells. */
export function showRows(body, items, keyOf, cellsOf) {
    const known = new Map([...body.children].map(row => [row.dataset.key, row]));
    const shown = items.map(item => {
        const row = known.get(keyOf(item)) ?? element('tr');
        row.dataset.key = keyOf(item);
        cellsOf(item).forEach((cell, i) => replace(row, row.children[i], cell));
        return row;
    });
    if (shown.length !== body.children.length || shown.some((row, i) => row !== body.children[i])) body.replaceChildren(...shown);
}

/** A button in the cell that has the focus gives it to the one that does the same. */
function replace(row, before, cell) {
    if (!before) row.append(cell);
    if (!before || before.isEqualNode(cell)) return;
    const {action} = before.contains(document.activeElement) ? document.activeElement.dataset : {};
    before.replaceWith(cell);
    if (action) cell.querySelector(`[data-action=${action}]`)?.focus();
}
