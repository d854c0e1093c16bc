import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../src/lib/core/crypto.js';
import { seededRandom } from '../../src/lib/core/numbers.js';
import type { Desired } from '../../src/lib/device/protocol/messages.js';
import { blankRecord } from '../../src/lib/device/update/record.js';
import type { BundleSource } from '../../src/lib/device/update/types.js';
import { createFlash, type Flash, PowerCut } from '../../src/lib/device/virtual/flash.js';
import { createDeviceStore, flashBytesFor } from '../../src/lib/device/virtual/store.js';
import { anyRuntime, byDelta, memorySource, release, testUpdater } from '../support/update.js';

const bytes = (seed: number, length: number) =>
  Uint8Array.from({ length }, (_, i) => (i * 31 + seed * 7) & 0xff);
const slotBytes = 4 * 4096;
const old = release(bytes(1, 10_000), 1);
const next = release(bytes(2, 13_000), 2, { floor: 2 });
const source = memorySource([old, next], 1500);

/** A device that runs the old version and is ready for the next one. */
async function prepared(onOperation?: Parameters<typeof createFlash>[0]['onOperation']): Promise<Flash> {
  let listening = false;
  const flash = createFlash({
    bytes: flashBytesFor(slotBytes),
    onOperation: (...operation) => listening && onOperation?.(...operation),
  });
  const device = await testUpdater(flash, { source });
  device.updater.desire(old.desired);
  await device.updater.settled();
  listening = true;
  return flash;
}

async function update(flash: Flash, from: BundleSource, desired: Desired) {
  const device = await testUpdater(flash, { source: from });
  device.updater.desire(desired);
  await device.updater.settled();
  await device.updater.stop();
  return device;
}

/**
 * Byte offsets where an update is cut: the first, second and last byte of each write and erase, the end, and 150
 * random ones.
 */
async function interestingBytes(from: BundleSource, desired: Desired): Promise<number[]> {
  const starts: number[] = [];
  const flash = await prepared((_, __, length) => starts.push(length));
  await update(flash, from, desired);
  const at: number[] = [];
  let sum = 0;
  for (const length of starts) {
    at.push(sum, sum + 1, sum + length - 1);
    sum += length;
  }
  at.push(sum);
  const random = seededRandom(7);
  for (let i = 0; i < 150; i++) at.push(Math.floor(random() * sum));
  return [...new Set(at)].sort((a, b) => a - b);
}

const patched = byDelta(next, old);
/** A well-formed patch with a correct digest that produces bytes other than the signed ones. */
const wrong = byDelta({ ...next, bytes: bytes(3, 13_000) }, old);

describe('a power cut', () => {
  it.each([
    ['an update', next.desired, null],
    ['an update by a delta', patched.desired, null],
    ['a delta with a wrong result, and of the download after it', wrong.desired, 'AIOT_DELTA_RESULT'],
  ])(
    'at any byte of %s leaves a device that boots a complete version, and then installs the update',
    async (_, desired, code) => {
      const from = memorySource([old, next], desired === next.desired ? 1500 : 60, [
        patched.patch,
        wrong.patch,
      ]);
      const all = await interestingBytes(from, desired);
      expect(all.length).toBeGreaterThan(150);
      // A delta with a wrong result is followed by a complete download, which the first case already tests.
      const every = code === null || process.env.AIOT_LONG === '1' ? 1 : 4;
      // The last cut is after the commit.
      const cuts = all.filter((_, i) => i % every === 0 || i === all.length - 1);
      const outcomes = new Map<string, number>();
      for (const cut of cuts) {
        const flash = await prepared();
        flash.cutAfter(cut);
        const dying = await update(flash, from, desired).catch((error: unknown) => error);
        flash.powerOn();
        const before = createDeviceStore(flash).readRecord();
        expect([1, 2], `cut at ${cut}`).toContain(before.sequence);

        const booted = await testUpdater(flash, { source: from });
        const running = booted.reports[0]?.model;
        expect(running?.digest, `cut at ${cut}`).toBe(digestOf(booted.active() ?? new Uint8Array()));
        expect([digestOf(old.bytes), digestOf(next.bytes)]).toContain(running?.digest);
        expect(running?.sequence).toBe(before.sequence);
        await booted.updater.settled();

        booted.updater.desire(desired);
        await booted.updater.settled();
        expect(booted.reports.at(-1), `cut at ${cut}`).toMatchObject({
          state: 'COMMITTED',
          rollout: 'rollout_2',
          floor: 2,
          model: { sequence: 2, digest: digestOf(next.bytes) },
        });
        expect(digestOf(booted.active() ?? new Uint8Array())).toBe(digestOf(next.bytes));
        const outcome = dying instanceof Error ? 'at boot' : `was running ${running?.sequence}`;
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
        const told = booted.reports.at(-1)?.delta;
        if (told) outcomes.set('by delta', (outcomes.get('by delta') ?? 0) + 1);
        if (told) expect(told.error?.code ?? null).toBe(code);
      }
      // The cuts must include some before and some after the commit.
      expect(outcomes.get('was running 1')).toBeGreaterThan(50);
      expect(outcomes.get('was running 2')).toBeGreaterThan(0);
      expect(outcomes.get('by delta') ?? 0).toBeGreaterThan(desired === next.desired ? -1 : 5);
    },
  );

  it('during a download does not restart it from the beginning', async () => {
    const flash = await prepared();
    const asked: number[] = [];
    const counting = {
      ...source,
      blob: (digest: string, from: number, signal: AbortSignal) => {
        asked.push(from);
        return source.blob(digest, from, signal);
      },
    };
    const dying = await testUpdater(flash, { source: counting });
    // Two records, the erased slot, a record, and part of the bundle.
    flash.cutAfter(2 * 4096 + 4 * 4096 + 4096 + 9000);
    dying.updater.desire(next.desired);
    await dying.updater.settled();
    expect(dying.died()).toBeInstanceOf(PowerCut);
    flash.powerOn();
    const booted = await testUpdater(flash, { source: counting });
    booted.updater.desire(next.desired);
    await booted.updater.settled();
    expect(booted.reports.at(-1)).toMatchObject({ state: 'COMMITTED', model: { sequence: 2 } });
    expect(asked[0]).toBe(0);
    expect(asked[1]).toBeGreaterThanOrEqual(4096);
  });

  it('in three trials in a row restores the previous version', async () => {
    const flash = await prepared();
    const deadly = {
      ...anyRuntime,
      checkGolden: async () => {
        throw new PowerCut();
      },
    };
    for (let i = 0; i < 3; i++) {
      const dying = await testUpdater(flash, { source, runtime: deadly });
      if (i === 0) dying.updater.desire(next.desired);
      await dying.updater.settled();
      expect(dying.died()).toBeInstanceOf(PowerCut);
    }
    const booted = await testUpdater(flash, { source, runtime: deadly });
    await booted.updater.settled();
    expect(booted.reports.at(-1)).toMatchObject({
      state: 'ROLLED_BACK',
      error: { code: 'AIOT_UPDATE_TRIAL' },
      model: { sequence: 1 },
    });
  });
});

describe('a damaged slot', () => {
  it.each([
    ['is replaced by the previous version', 0, { sequence: 1, digest: digestOf(old.bytes) }],
    ['leaves no model if the previous version is below the floor', 2, null],
  ])('%s', async (_, floor, model) => {
    const flash = createFlash({ bytes: flashBytesFor(slotBytes) });
    const newer = release(next.bytes, 2, { floor });
    const device = await testUpdater(flash, { source: memorySource([old, newer]) });
    for (const { desired } of [old, newer]) {
      device.updater.desire(desired);
      await device.updater.settled();
    }
    const store = createDeviceStore(flash);
    store.writeSlot(store.readRecord().active ?? 0, 500, Uint8Array.of(0, 0, 0, 0));
    const booted = await testUpdater(flash, { source });
    const [reported] = booted.reports;
    expect(reported?.floor).toBe(floor);
    expect(reported?.model).toEqual(model && expect.objectContaining(model));
    expect(createDeviceStore(flash).readRecord().sequence).toBe(2);
  });
});

describe('the simulated flash', () => {
  it('only clears bits until it is erased, as NOR flash does', () => {
    const flash = createFlash({ bytes: 8192 });
    flash.write(4090, Uint8Array.of(0x0f, 0xf0, 1, 2, 3, 4, 5, 6));
    flash.write(4090, Uint8Array.of(0xf3));
    expect([...flash.read(4089, 10)]).toEqual([0xff, 0x03, 0xf0, 1, 2, 3, 4, 5, 6, 0xff]);
    flash.erase(0);
    expect([...flash.read(4094, 4)]).toEqual([0xff, 0xff, 5, 6]);
  });

  it('stops writing at the exact byte where the power fails', () => {
    const flash = createFlash({ bytes: 8192 });
    flash.cutAfter(3);
    expect(() => flash.write(0, Uint8Array.of(1, 2, 3, 4))).toThrow(PowerCut);
    expect(() => flash.read(0, 1)).toThrow(PowerCut);
    expect(() => flash.erase(0)).toThrow(PowerCut);
    flash.powerOn();
    expect([...flash.read(0, 4)]).toEqual([1, 2, 3, 0xff]);
  });

  it('does not let a torn record hide the previous one', () => {
    const flash = createFlash({ bytes: flashBytesFor(4096) });
    createDeviceStore(flash).writeRecord({ ...blankRecord, floor: 1 });
    for (let cut = 0; cut < 4096 + 120; cut += 61) {
      flash.cutAfter(cut);
      expect(() => createDeviceStore(flash).writeRecord({ ...blankRecord, floor: 2 })).toThrow(PowerCut);
      flash.powerOn();
      expect(createDeviceStore(flash).readRecord().floor).toBe(1);
    }
    createDeviceStore(flash).writeRecord({ ...blankRecord, floor: 3 });
    expect(createDeviceStore(flash).readRecord().floor).toBe(3);
  });

  it('stores its contents in a file, and rejects a file that is not its own', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'aiot-flash-'));
    const file = join(folder, 'flash.bin');
    const first = createFlash({ bytes: flashBytesFor(4096), file });
    createDeviceStore(first).writeRecord({ ...blankRecord, floor: 7 });
    first.close();
    const second = createFlash({ bytes: flashBytesFor(4096), file });
    expect(createDeviceStore(second).readRecord().floor).toBe(7);
    second.close();
    await writeFile(join(folder, 'other.bin'), 'hello');
    expect(() => createFlash({ bytes: 8192, file: join(folder, 'other.bin') })).toThrow(
      'expected 8192 bytes',
    );
    expect(() => createFlash({ bytes: 8192, file: join(folder, 'no', 'x.bin') })).toThrow('ENOENT');
    await rm(folder, { recursive: true });
  });
});
