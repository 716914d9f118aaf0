import {Account, Signaling} from '../index.js';

/** What all examples begin with: resolves with a connected Signaling when the form has been sent with a good password.
 * Each tab is a user of its own, since nothing is kept. */
export function signedIn(form) {
    return new Promise(resolve => {
        form.onsubmit = sent => {
            sent.preventDefault();
            telling(async () => {
                const account = new Account();
                await account.logIn(form.elements.user.value, form.elements.password.value);
                const signaling = new Signaling({token: () => account.token()});
                await signaling.connect();
                form.hidden = true;
                resolve(signaling);
            });
        };
    });
}

/** Runs it, and shows why it failed. */
export async function telling(action) {
    const alert = document.querySelector('[role=alert]');
    alert.textContent = '';
    try {
        return await action();
    } catch (error) {
        alert.textContent = error.message;
    }
}
