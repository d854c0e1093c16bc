import { describe, expect, it } from 'vitest';
import { Shadow } from '../../src/lib/device/telemetry/shadow.js';
import type { BundleSource } from '../../src/lib/device/update/types.js';
import { createFlash } from '../../src/lib/device/virtual/flash.js';
import { flashBytesFor } from '../../src/lib/device/virtual/store.js';
import type { Prediction } from '../../src/lib/model/bundle/predictor.js';
import { anyRuntime, memorySource, type Release, release, testUpdater } from '../support/update.js';

const bytes = (seed: number, length = 9000) =>
  Uint8Array.from({ length }, (_, i) => (i * 31 + seed * 7) & 0xff);
const old = release(bytes(1), 1);
const next = release(bytes(2), 2);
const shadowOf = ({ desired }: Release) => ({ ...desired, rollout: 'shadow', shadow: { everyMs: 1000 } });

/** Counts the downloads. */
function counted(source: BundleSource) {
  const blobs: string[] = [];
  const blob: BundleSource['blob'] = (digest, from, signal) => {
    blobs.push(digest);
    return source.blob(digest, from, signal);
  };
  return { blobs, source: { ...source, blob } };
}

/** A device that runs the old version and has the next one as a shadow. */
async function shadowing(runtime = anyRuntime) {
  const flash = createFlash({ bytes: flashBytesFor(16_384) });
  const { blobs, source } = counted(memorySource([old, next]));
  const device = await testUpdater(flash, { source, runtime });
  device.updater.desire(old.desired);
  await device.updater.settled();
  device.updater.desire(shadowOf(next));
  await device.updater.settled();
  return { ...device, flash, blobs, source };
}

describe('a shadow model', () => {
  it('is verified and tried while the previous model keeps running', async () => {
    const { reports, active } = await shadowing();
    expect(reports.at(-1)).toMatchObject({
      ...{ state: 'SHADOW', rollout: 'shadow', model: { version: 1 }, golden: { vectors: 3, passed: 3 } },
    });
    expect(active()).toEqual(Buffer.from(old.bytes));
  });

  it('is committed by the next request, without another download', async () => {
    const { updater, reports, active, blobs } = await shadowing();
    updater.desire(next.desired);
    await updater.settled();
    expect(reports.at(-1)).toMatchObject({ state: 'COMMITTED', model: { version: 2 } });
    expect(active()).toEqual(Buffer.from(next.bytes));
    expect(blobs).toHaveLength(2);
  });

  it('continues after a restart, and is abandoned after the third', async () => {
    const { flash, source } = await shadowing();
    for (const state of ['SHADOW', 'SHADOW', 'IDLE']) {
      const again = await testUpdater(flash, { source });
      await again.updater.settled();
      expect(again.updater.state.phase).toBe(state);
      expect(again.active()).toEqual(Buffer.from(old.bytes));
      await again.updater.stop();
      if (state === 'IDLE')
        expect(again.reports.at(-1)).toMatchObject({ error: { code: 'AIOT_UPDATE_TRIAL' } });
    }
  });

  it.each([
    ['is withdrawn', null],
    ['is replaced by another request', old.desired],
  ])('%s, and is removed completely', async (_, wish) => {
    const { updater, reports, flash, source, active } = await shadowing();
    updater.desire(wish && { ...wish, rollout: 'again' });
    await updater.settled();
    expect(reports.at(-1)).toMatchObject({ state: wish ? 'COMMITTED' : 'IDLE', model: { version: 1 } });
    expect(updater.state.record).toMatchObject({ trial: null, slots: [{ version: 1 }, null] });
    await updater.stop();
    const again = await testUpdater(flash, { source });
    expect(again.updater.state.job).toBeNull();
    expect(active()).toEqual(Buffer.from(old.bytes));
  });

  it('does not run if its golden vectors are wrong', async () => {
    let passed = 3;
    const runtime = { ...anyRuntime, checkGolden: async () => ({ vectors: 3, passed: passed-- }) };
    const { reports } = await shadowing(runtime);
    expect(reports.at(-1)).toMatchObject({
      ...{ state: 'IDLE', rollout: 'shadow', error: { code: 'AIOT_GOLDEN_MISMATCH' }, model: { version: 1 } },
    });
  });

  it('is abandoned if the sensor does not fit it', async () => {
    const { updater, reports } = await shadowing();
    updater.failShadow('AIOT_RECORDING_UNFIT', 'expected 50 Hz as required by the model, got 100');
    await updater.settled();
    expect(reports.at(-1)).toMatchObject({ state: 'IDLE', error: { code: 'AIOT_RECORDING_UNFIT' } });
    expect(updater.state.record).toMatchObject({ trial: null, slots: [{ version: 1 }, null] });
  });
});

describe('shadow metrics', () => {
  const loaded = (arenaBytes: number) => ({
    ...{ fields: ['x'], rateHz: 100, classes: ['a', 'b'], arenaBytes },
    createPredictor: () => ({ push: () => null, reset: () => {} }),
  });
  const said = (label: string | null, latencyMs = 1, scores = [1]): Prediction => ({
    ...{ window: 0, index: null, label, voted: label, scores, value: null, latencyMs },
  });

  it('include disagreements, latencies, memory, and counts per label', () => {
    const shadow = new Shadow(loaded(100), loaded(200));
    for (let i = 1; i <= 20; i++) shadow.saw(said('a', i), said(i > 15 ? 'b' : 'a', 2 * i));
    expect(shadow.figures).toEqual({
      ...{ windows: 20, disagreements: 5 },
      active: { p50Ms: 11, p95Ms: 20, arenaBytes: 100, labels: { a: 20 } },
      candidate: { p50Ms: 22, p95Ms: 40, arenaBytes: 200, labels: { a: 15, b: 5 } },
    });
  });

  it('compare each active prediction with the newest candidate prediction since the previous one', () => {
    const shadow = new Shadow(loaded(1), loaded(1));
    shadow.saw(null, said('b'));
    shadow.saw(null, said('a'));
    shadow.saw(said('a'), null);
    shadow.saw(said('a'), null);
    expect(shadow.figures).toMatchObject({ windows: 1, disagreements: 0 });
  });

  it.each([
    [[10], [10.4], 0],
    [[10], [10.6], 1],
    [[10, 0], [10, 1], 1],
    [[10], [10, 1], 1],
  ])('count values %j and %j as %d disagreements', (one, other, disagreements) => {
    const shadow = new Shadow(loaded(1), loaded(1));
    shadow.saw(said(null, 1, one), said(null, 1, other));
    expect(shadow.figures).toMatchObject({ windows: 1, disagreements, active: { labels: {} } });
  });
});
