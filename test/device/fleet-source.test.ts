import { expect, it } from 'vitest';
import { digestOf } from '../../src/lib/core/crypto.js';
import { AiotError } from '../../src/lib/core/errors.js';
import { fleetSource } from '../../src/lib/device/fleet/source.js';
import type { BundleSource } from '../../src/lib/device/update/types.js';

const bytes = Buffer.from('a blob');

/** A platform that is unreachable for the first `requests` requests. */
function away(requests: number, retryable = true): BundleSource & { asked: number } {
  return {
    asked: 0,
    async manifest() {
      throw new Error('not asked for');
    },
    async *blob() {
      if (++this.asked <= requests) {
        yield bytes.subarray(0, 2);
        throw new AiotError('AIOT_UPDATE_DOWNLOAD', 'ECONNRESET', { retryable });
      }
      yield bytes;
    },
  };
}

it('the fleet’s download source retries an unreachable platform, and downloads nothing twice', async () => {
  const http = away(2);
  const source = fleetSource(http, null, 'once', new AbortController().signal);
  expect(await source.blob(digestOf(bytes))).toEqual({ digest: digestOf(bytes), bytes: bytes.length });
  expect(http.asked).toBe(3);
  expect(source.downloads).toBe(1);
});

it('the fleet’s download source fails immediately if it is rejected, and stops retrying when the fleet ends', async () => {
  const refuses = away(1, false);
  const source = fleetSource(refuses, null, 'once', new AbortController().signal);
  await expect(source.blob(digestOf(bytes))).rejects.toMatchObject({ code: 'AIOT_UPDATE_DOWNLOAD' });
  expect(refuses.asked).toBe(1);
  const over = new AbortController();
  const gone = away(Number.POSITIVE_INFINITY);
  const asked = fleetSource(gone, null, 'once', over.signal).blob(digestOf(bytes));
  over.abort();
  await expect(asked).rejects.toThrow();
  expect(gone.asked).toBe(1);
});
