import {RpcError} from './rpc-error.js';

/** Sends a file as the body of a POST, and gives the answer's JSON. RpcError; when `signal` aborts, its reason.
 *
 * onProgress(sent, total): in bytes. By XMLHttpRequest, for fetch() does not tell how far it is. */
export function upload(url, token, file, {onProgress, signal} = {}) {
    return new Promise((resolve, reject) => {
        if (signal?.aborted) return reject(signal.reason);
        const request = new XMLHttpRequest();
        const abort = () => request.abort();
        const refuse = (problem, message) => reject(new RpcError({message, data: {problem}}));
        request.upload.onprogress = ({loaded, total}) => onProgress?.(loaded, total);
        request.onload = () => {
            const {response, status} = request;
            if (status >= 200 && status < 300 && response) resolve(response);
            else refuse(response?.problem, response?.detail ?? `The service answered ${status}.`);
        };
        request.onerror = () => refuse('connection-lost', 'The connection was lost.');
        request.onabort = () => reject(signal.reason);
        request.onloadend = () => signal?.removeEventListener('abort', abort);
        signal?.addEventListener('abort', abort);
        request.open('POST', url);
        request.responseType = 'json';
        request.setRequestHeader('Authorization', `Bearer ${token}`);
        request.setRequestHeader('Content-Type', /^(audio|video)\//.test(file.type) ? file.type : 'application/octet-stream');
        request.send(file);
    });
}
