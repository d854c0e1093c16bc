import { describe, expect, it } from 'vitest';
import { digestOf } from '../../src/lib/core/crypto.js';
import { AiotError } from '../../src/lib/core/errors.js';
import type { Desired } from '../../src/lib/device/protocol/messages.js';
import type { BundleSource } from '../../src/lib/device/update/types.js';
import { createFlash } from '../../src/lib/device/virtual/flash.js';
import { flashBytesFor } from '../../src/lib/device/virtual/store.js';
import { byDelta, memorySource, type Release, release, testUpdater } from '../support/update.js';

const slotBytes = 16 * 4096;
const program = (seed: number) =>
  Uint8Array.from({ length: 40_000 }, (_, i) => (i % 2000 === 0 ? seed : (i * i * 31 + i) >> 3));
const [old, next] = [release(program(1), 1), release(program(2), 2)] as [Release, Release];
const { desired, patch } = byDelta(next, old);

/** Returns a device that runs the old release, and its requests since then. */
async function device(source: BundleSource) {
  const asked: { digest: string; from: number }[] = [];
  const watched: BundleSource = {
    ...source,
    blob: (digest, from, signal) => {
      asked.push({ digest, from });
      return source.blob(digest, from, signal);
    },
  };
  const flash = createFlash({ bytes: flashBytesFor(slotBytes) });
  const updated = await testUpdater(flash, { source: watched });
  const take = async (wish: Desired) => {
    updated.updater.desire(wish);
    await updated.updater.settled();
    return updated.reports.at(-1)!;
  };
  await take(old.desired);
  asked.length = 0;
  return { take, asked, reports: updated.reports };
}

const committed = { state: 'COMMITTED', model: { sequence: 2, digest: digestOf(next.bytes) } };

describe('a delta update', () => {
  it('installs the release from its patch alone', async () => {
    const { take, asked, reports } = await device(memorySource([old, next], 50, [patch]));
    const told = { bytes: patch.length, of: next.bytes.length, error: null };
    expect(await take(desired)).toMatchObject({ ...committed, delta: told });
    expect(asked).toEqual([{ digest: digestOf(patch), from: 0 }]);
    expect(patch.length).toBeLessThan(next.bytes.length / 10);
    expect(reports.map(({ state }) => state).filter((state, i, all) => state !== all[i - 1])).toEqual(
      expect.arrayContaining(['DOWNLOADING', 'VERIFYING', 'STAGED', 'TRIAL', 'COMMITTED']),
    );
  });

  it('resumes the patch download where the connection broke', async () => {
    const whole = memorySource([old, next], 50, [patch]);
    let left = 3;
    const breaking: BundleSource = {
      ...whole,
      async *blob(digest, from, signal) {
        let count = 0;
        for await (const chunk of whole.blob(digest, from, signal)) {
          if (digest === digestOf(patch) && ++count > 2 && left-- > 0)
            throw new AiotError('AIOT_UPDATE_DOWNLOAD', 'it broke', { retryable: true });
          yield chunk;
        }
      },
    };
    const { take, asked } = await device(breaking);
    expect(await take(desired)).toMatchObject({ ...committed, delta: { error: null } });
    expect(asked.map(({ from }) => from)).toEqual([0, 100, 200, 300]);
  });

  const other = program(9);
  const garbled = Uint8Array.from(patch, (byte, i) => (i === 40 ? byte ^ 4 : byte));
  const wrong = byDelta({ ...next, bytes: program(3) }, old);
  it.each<[string, Desired['delta'], Uint8Array[], string]>([
    ['for another base', { ...desired.delta!, base: digestOf(other) }, [patch], 'AIOT_DELTA_BASE'],
    ['as long as the whole', { ...desired.delta!, bytes: 30_000 }, [patch], 'AIOT_DELTA_MALFORMED'],
    ['that is missing', desired.delta, [], 'AIOT_UPDATE_DOWNLOAD'],
    ['that is not a patch', of(other.subarray(0, 900)), [other.subarray(0, 900)], 'AIOT_DELTA_MALFORMED'],
    ['that ends early', of(patch.subarray(0, -9)), [patch.subarray(0, -9)], 'AIOT_DELTA_MALFORMED'],
    ['that is longer than announced', { ...desired.delta!, bytes: 60 }, [patch], 'AIOT_DELTA_MALFORMED'],
    ['that produces something else', wrong.desired.delta, [wrong.patch], 'AIOT_DELTA_RESULT'],
  ])('%s falls back to the whole release, and reports why', async (_, delta, patches, code) => {
    const { take, asked } = await device(memorySource([old, next], 50, patches));
    expect(await take({ ...next.desired, ...(delta ? { delta } : {}) })).toMatchObject({
      ...committed,
      delta: { error: { code } },
      error: null,
    });
    expect(asked.at(-1)).toEqual({ digest: digestOf(next.bytes), from: 0 });
  });

  it('falls back to the whole release if the patch was changed in transit', async () => {
    const whole = memorySource([old, next], 50, [patch]);
    const mirror: BundleSource = {
      ...whole,
      blob: (digest, from, signal) =>
        digest === digestOf(patch)
          ? memorySource([{ ...old, bytes: garbled }]).blob(digestOf(garbled), from, signal)
          : whole.blob(digest, from, signal),
    };
    const { take } = await device(mirror);
    const report = await take(desired);
    expect(report).toMatchObject(committed);
    expect(report.delta?.error?.code).toBe('AIOT_DELTA_MALFORMED');
  });

  function of(bytes: Uint8Array): Desired['delta'] {
    return { base: digestOf(old.bytes), digest: digestOf(bytes), bytes: bytes.length };
  }
});
