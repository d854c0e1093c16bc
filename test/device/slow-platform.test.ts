import { describe, expect, it } from 'vitest';
import type { Clock } from '../../src/lib/core/time.js';
import type { BundleSource } from '../../src/lib/device/update/types.js';
import { createFlash } from '../../src/lib/device/virtual/flash.js';
import { flashBytesFor } from '../../src/lib/device/virtual/store.js';
import { byDelta, memorySource, release, testUpdater } from '../support/update.js';

const bytes = (seed: number, length = 20_000) =>
  Uint8Array.from({ length }, (_, i) => (i * 31 + seed * 7) & 0xff);
const old = release(bytes(1), 1);
// Only one byte differs, so the patch is short.
const changed = bytes(1);
changed[9000] = 1;
const next = release(changed, 2);
const { desired: withPatch, patch } = byDelta(next, old);

/** Delivers blobs in pieces of `piece` bytes, each after `ms` milliseconds. A connection ends after `most` pieces. */
function dripping(piece: number, ms: number, only?: string, most = Number.POSITIVE_INFINITY) {
  let time = 0;
  const whole = memorySource([old, next], piece, [patch]);
  const clock: Clock = {
    now: () => 1_800_000_000_000 + time,
    sleep: async (wait) => {
      time += wait;
    },
  };
  let drips = false;
  let connections = 0;
  const source: BundleSource = {
    manifest: whole.manifest,
    async *blob(digest, from, signal) {
      connections++;
      let pieces = 0;
      for await (const chunk of whole.blob(digest, from, signal)) {
        if (drips && (only === undefined || only === digest)) {
          if (pieces++ >= most) return;
          time += ms;
        }
        yield chunk;
      }
    },
  };
  const drip = () => {
    drips = true;
    time = 0;
    connections = 0;
  };
  return { clock, source, drip, passed: () => time, connections: () => connections };
}

async function running(from: ReturnType<typeof dripping>) {
  const flash = createFlash({ bytes: flashBytesFor(32 * 1024) });
  const device = await testUpdater(flash, from);
  device.updater.desire(old.desired);
  await device.updater.settled();
  from.drip();
  return device;
}

describe('a platform that sends one byte at a time', () => {
  it('is abandoned after a minute, and the old version keeps running', async () => {
    const from = dripping(1, 1000);
    const device = await running(from);
    device.updater.desire(next.desired);
    await device.updater.settled();
    expect(device.reports.at(-1)).toMatchObject({
      ...{ state: 'IDLE', model: { version: 1 } },
      error: {
        code: 'AIOT_UPDATE_DOWNLOAD',
        message: 'expected at least 4096 bytes a minute, got 60',
      },
    });
    expect(from.passed()).toBe(60_000);
  });

  it('is abandoned if each connection delivers one byte', async () => {
    const from = dripping(1, 1000, undefined, 1);
    const device = await running(from);
    device.updater.desire(next.desired);
    await device.updater.settled();
    expect(device.reports.at(-1)).toMatchObject({
      ...{ state: 'IDLE', model: { version: 1 } },
      error: { code: 'AIOT_UPDATE_DOWNLOAD', message: 'expected 20000 bytes, got 6' },
    });
    expect(from.connections()).toBe(6);
  });

  it('is not abandoned if it is fast enough', async () => {
    const from = dripping(100, 600);
    const device = await running(from);
    device.updater.desire(next.desired);
    await device.updater.settled();
    expect(device.reports.at(-1)).toMatchObject({ state: 'COMMITTED', model: { version: 2 } });
    expect(from.passed()).toBeGreaterThan(100_000);
  });

  it('makes a patch fail, and the whole release is downloaded instead', async () => {
    const from = dripping(1, 1500, withPatch.delta?.digest);
    expect(patch.length).toBeGreaterThan(41);
    const device = await running(from);
    device.updater.desire(withPatch);
    await device.updater.settled();
    expect(device.reports.at(-1)).toMatchObject({
      ...{ state: 'COMMITTED', model: { version: 2 } },
      delta: { error: { code: 'AIOT_UPDATE_DOWNLOAD' } },
    });
  });
});
