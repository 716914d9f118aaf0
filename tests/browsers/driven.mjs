// Debian's Firefox as somebody's hands and eyes have it: driven.mjs PREFERENCES, a JSON object; a command is a line of JSON, {do, …}, and so is its answer,
// {result} or {failed}. Notifications are Firefox's own windows (they are clicked as by a mouse), which takes access to its parent process.

import {createInterface} from 'node:readline';
import puppeteer from 'puppeteer-core';

const WITHIN_MS = 15000;
const browser = await puppeteer.launch({
    browser: 'firefox',
    executablePath: '/usr/bin/firefox-esr',
    headless: true,
    args: ['--remote-allow-system-access'],
    extraPrefsFirefox: JSON.parse(process.argv[2]),
});
const [blank] = await browser.pages();
let page = blank;
const errors = [];

const commands = {
    /** A new tab, which the next commands are about. */
    async open({url}) {
        page = await browser.newPage();
        watch(page);
        await page.goto(url);
    },

    /** The tab at this address that something else has opened, or the newest. */
    async adopt({url}) {
        await until(async () => {
            const [found] = (await browser.pages()).filter(one => one !== blank && one.url().startsWith(url)).reverse();
            if (found) page = found;
            return found;
        });
        watch(page);
    },

    close: () => page.close(),
    press: ({name}) => page.locator(`::-p-aria([name="${name}"][role="button"])`).setTimeout(WITHIN_MS).click(),
    click: ({selector}) => page.locator(selector).setTimeout(WITHIN_MS).click(),
    fill: ({selector, value}) => page.locator(selector).setTimeout(WITHIN_MS).fill(value),
    see: ({text}) => page.locator(`::-p-text(${text})`).setTimeout(WITHIN_MS).wait().then(() => null),
    evaluate: ({script}) => page.evaluate(script),
    screenshot: ({path}) => page.screenshot({path}),
    addresses: async () => (await browser.pages()).map(one => one.url()),
    errors: () => errors,

    /** Of each notification on the screen. */
    notifications: async () => (await alerts()).map(({title, text}) => ({title, text})),

    async clickNotification({title}) {
        const {context} = await until(async () => (await alerts()).find(one => one.title === title));
        await inChrome(context, `document.getElementById('alertTextBox').click()`);
    },
};

for await (const line of createInterface({input: process.stdin})) {
    const {do: name, ...asked} = JSON.parse(line);
    let answer;
    try {
        answer = {result: await commands[name](asked) ?? null};
    } catch (error) {
        answer = {failed: `${name} ${JSON.stringify(asked)}: ${error}`};
    }
    console.log(JSON.stringify(answer));
}
await browser.close();

function watch(one) {
    one.on('pageerror', error => errors.push(String(error)));
}

async function until(found) {
    for (const end = Date.now() + WITHIN_MS; Date.now() < end; await new Promise(resolve => setTimeout(resolve, 100))) {
        const value = await found();
        if (value) return value;
    }
    throw new Error('not in time');
}

/** Firefox's own windows that show notifications. */
async function alerts() {
    const {result} = await browser.connection.send('browsingContext.getTree', {'moz:scope': 'chrome'});
    const windows = result.contexts.filter(({url}) => url === 'chrome://global/content/alerts/alert.xhtml');
    const read = `JSON.stringify({title: document.getElementById('alertTitleLabel').value, text: document.getElementById('alertTextLabel').textContent})`;
    const shown = await Promise.all(windows.map(({context}) => inChrome(context, read).then(found => ({context, ...JSON.parse(found)}), gone)));
    return shown.filter(Boolean);
}

/** A window that has closed meanwhile is none. */
function gone(error) {
    if (!String(error).includes('no such frame')) throw error;
    return null;
}

async function inChrome(context, expression) {
    const {result} = await browser.connection.send('script.evaluate', {expression, target: {context}, awaitPromise: true});
    if (result.type !== 'success') throw new Error(JSON.stringify(result.exceptionDetails.text));
    return result.result.value;
}
