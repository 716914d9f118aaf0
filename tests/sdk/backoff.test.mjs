import assert from 'node:assert/strict';
import {test} from 'node:test';

import {backoff} from '../../web/sdk/backoff.js';

test('attempts come less and less often, and never together', () => {
    assert.deepEqual([0, 1, 2, 10].map(attempt => backoff(attempt, () => 1)), [500, 1000, 2000, 15000]);
    assert.equal(backoff(0, () => 0), 250);
});
