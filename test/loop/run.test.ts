import { rm } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { untilTime } from '../../src/lib/loop/run/ending.js';
import { loopResultSchema } from '../../src/lib/loop/run/result.js';
import { runLoop } from '../../src/lib/loop/run/run.js';
import { createHistogram } from '../../src/lib/loop/run/tally.js';
import { unpackBundle } from '../../src/lib/model/bundle/pack.js';
import { createPredictor } from '../../src/lib/model/bundle/predictor.js';
import {
  batchesOf,
  fakeKeeper,
  fakeLoop,
  fakeOutputs,
  livelySamples,
  loaded,
  motionFolder,
} from '../support/loop.js';
import { motionBundle } from '../support/motion-bundle.js';
import { fc } from '../support/property.js';

/**
 * The predictions of the bundle itself for the samples from `start` on, as [last sample, label] for each window.
 */
function expected(seed: number, samples: number[][], start = 0): [number, string | null][] {
  const predictor = createPredictor(unpackBundle(motionBundle(seed)));
  return samples.slice(start).flatMap((sample, i) => {
    const answer = predictor.push(sample);
    return answer ? [[start + i, answer.label] as [number, string | null]] : [];
  });
}
/** The predictions of the loop in the same form. */
const given = (answers: { t: number; label: string | null }[]) =>
  answers.map(({ t, label }) => [Math.round((t - 1_700_000_000_000) / 10), label]);

describe('a loop', () => {
  it('predicts each window as the bundle does, however the samples are batched', async () => {
    const samples = livelySamples(500);
    expect(new Set(expected(10, samples).map(([, label]) => label)).size).toBeGreaterThan(1);
    for (const size of [1, 7, 25, 500]) {
      const { options, outputs } = fakeLoop(batchesOf(samples, size));
      const result = await runLoop({ ...options, vote: 'none' });
      expect(given(outputs.answers)).toEqual(expected(10, samples));
      expect(result).toMatchObject({ samples: 500, lost: 0, windows: 19, predictions: 19, ended: 'sensor' });
      expect(outputs.closed).toBe(true);
    }
  });

  it('returns a result that matches its schema, with latency and memory use', async () => {
    const result = await runLoop(fakeLoop().options);
    expect(loopResultSchema.parse(result)).toEqual(result);
    expect(result.latencyMs.p50).toBeGreaterThan(0);
    expect(result.latencyMs.p99).toBeGreaterThanOrEqual(result.latencyMs.p50!);
    expect(result.rssMb).toBeGreaterThan(10);
    expect(result.model).toMatchObject({ name: 'motion', version: 10, source: 'file' });
  });

  it('starts a new window after missing samples, so no window spans a gap', async () => {
    const samples = livelySamples(400);
    // Samples are lost between the second batch and the third.
    const { options, outputs } = fakeLoop(batchesOf(samples, 90, { 2: 13 }));
    const result = await runLoop({ ...options, vote: 'none' });
    expect(given(outputs.answers)).toEqual([
      ...expected(10, samples.slice(0, 180)),
      ...expected(10, samples, 180),
    ]);
    expect(result).toMatchObject({ lost: 13, gaps: 1 });
  });

  it('sends nothing from a simulated sensor to the outputs in aiot.yaml', async () => {
    const project = await motionFolder([], 'loop: { out: ["mqtt://127.0.0.1/alarms"] }');
    const asked: (readonly string[])[] = [];
    const told: string[] = [];
    const loop = fakeLoop();
    for (const more of [{ simulate: true }, { simulate: true, out: ['nats://127.0.0.1/x'] }, {}]) {
      await runLoop({
        ...{ ...loop.options, ...more, project, onEvent: (text: string) => told.push(text) },
        parts: {
          ...fakeLoop().options.parts,
          outputs: async ({ urls }) => {
            asked.push(urls);
            return fakeOutputs();
          },
        },
      });
    }
    await rm(project, { recursive: true });
    expect(asked).toEqual([[], ['nats://127.0.0.1/x'], ['mqtt://127.0.0.1/alarms']]);
    expect(told.filter((text) => text.includes('simulated'))).toEqual([
      'the sensor is simulated: nothing is sent to the outputs in aiot.yaml; specify others with --out',
    ]);
  });

  it('smooths labels with the requested vote, or else with the model’s', async () => {
    const windows = expected(10, livelySamples(500)).map(([, label]) => label);
    const majority = windows.map((_, i) => {
      const last = windows.slice(Math.max(0, i - 2), i + 1);
      const count = (label: string | null) => last.filter((each) => each === label).length;
      const sorted = [...new Set(last)].sort((a, b) => count(b) - count(a));
      return sorted.length > 1 && count(sorted[0]!) === count(sorted[1]!) ? null : sorted[0];
    });
    const own = fakeLoop();
    const seen: (string | null)[] = [];
    const result = await runLoop({ ...own.options, taps: [{ answer: ({ voted }) => seen.push(voted) }] });
    expect(seen).toEqual(majority);
    // A tie is not sent.
    const said = majority.filter((voted) => voted !== null);
    expect(own.outputs.answers.map(({ voted }) => voted)).toEqual(said);
    expect(result).toMatchObject({ windows: 19, predictions: said.length });
    const none = fakeLoop();
    await runLoop({ ...none.options, vote: 'none' });
    expect(none.outputs.answers.map(({ voted }) => voted)).toEqual(windows);
  });

  it('marks a prediction as changed if the smoothed label differs from the previous one', async () => {
    const { options, outputs } = fakeLoop();
    const result = await runLoop({ ...options, vote: 'none' });
    let before: string | null = null;
    for (const { voted, changed } of outputs.answers) {
      expect(changed).toBe(voted !== before);
      before = voted;
    }
    expect(result.changes).toBe(outputs.answers.filter(({ changed }) => changed).length);
    const counted = Object.values(result.classes).reduce((sum, count) => sum + count, 0);
    expect(counted).toBe(result.predictions);
  });

  it('ends after the requested time, or when it is stopped', async () => {
    const timed = fakeLoop(undefined, undefined, { live: true });
    expect(await runLoop({ ...timed.options, forMs: 1000 })).toMatchObject({ ended: 'time', samples: 500 });
    expect(timed.sensing.closed).toBe(true);
    const stop = new AbortController();
    const told = fakeLoop(undefined, undefined, { live: true });
    let samples = () => 0;
    const ending = runLoop({
      ...told.options,
      signal: stop.signal,
      onOpen({ monitor }) {
        samples = () => monitor.status().sensor.samples;
      },
    });
    await expect.poll(() => samples()).toBe(500);
    stop.abort();
    expect(await ending).toMatchObject({ ended: 'stopped', samples: 500 });
    expect(told.outputs.closed).toBe(true);
  });

  it('closes everything and rethrows the error if the sensor fails permanently', async () => {
    const { options, outputs, sensing } = fakeLoop(undefined, undefined, { fail: new Error('unplugged') });
    await expect(runLoop(options)).rejects.toThrow('unplugged');
    expect([outputs.closed, sensing.closed]).toEqual([true, true]);
  });

  it('reports its status while it runs', async () => {
    const { options } = fakeLoop(undefined, undefined, { live: true });
    const stop = new AbortController();
    let atFirst: string | undefined;
    let now = (): unknown => undefined;
    const ended = runLoop({
      ...options,
      signal: stop.signal,
      onOpen({ monitor }) {
        atFirst = monitor.status().state;
        now = () => monitor.status();
      },
    });
    await expect
      .poll(() => now())
      .toMatchObject({
        ...{ state: 'running', windows: 19, sensor: { samples: 500, connected: true } },
        last: { label: expect.any(String) },
      });
    expect(atFirst).toBe('waiting');
    stop.abort();
    await ended;
  });
});

describe('a replacement model', () => {
  const samples = livelySamples(600);
  /** Batches of 10 samples; the keeper switches to another model after `at` samples. */
  async function* swapping(keeper: { model: unknown }, at: number, next: unknown) {
    for (const [i, batch] of batchesOf(samples, 10).entries()) {
      if (i * 10 === at) keeper.model = next;
      yield batch;
    }
  }

  it('takes over between two windows, and skips none', async () => {
    const keeper = fakeKeeper(loaded(10));
    const { options, outputs } = fakeLoop(swapping(keeper, 210, loaded(9)), keeper);
    await runLoop({ ...options, vote: 'none' });
    const [first, second] = [expected(10, samples), expected(9, samples)];
    expect(first).not.toEqual(second);
    // The old model completes the current window; the new model predicts the next one and all later ones.
    const swapAt = first.findIndex(([end]) => end >= 210) + 1;
    expect(given(outputs.answers)).toEqual([...first.slice(0, swapAt), ...second.slice(swapAt)]);
    expect(outputs.answers.map(({ model }) => model.version)).toEqual([
      ...Array(swapAt).fill(10),
      ...Array(first.length - swapAt).fill(9),
    ]);
  });

  it('takes over before the process of the old model ends, and its own ends with the loop', async () => {
    const told: string[] = [];
    const noted = (seed: number) => ({
      ...loaded(seed, (predictor) => ({
        ...predictor,
        push(sample) {
          const answer = predictor.push(sample);
          if (answer) told.push(`${seed} predicts`);
          return answer;
        },
      })),
      release: () => void told.push(`${seed} ends`),
    });
    const keeper = fakeKeeper(noted(10));
    const { options } = fakeLoop(swapping(keeper, 210, noted(9)), keeper);
    await runLoop({ ...options, vote: 'none' });
    expect(told.lastIndexOf('10 predicts')).toBeLessThan(told.indexOf('10 ends'));
    expect(told.filter((text) => text.endsWith('ends'))).toEqual(['10 ends', '9 ends']);
    expect(told.at(-1)).toBe('9 ends');
  });

  it('predicts the window on which the previous model failed', async () => {
    const boom = new Error('no');
    let pushes = 0;
    const bad = loaded(9, (predictor) => ({
      ...predictor,
      push(sample) {
        const answer = predictor.push(sample);
        if (answer && ++pushes > 3) throw boom;
        return answer;
      },
    }));
    const keeper = fakeKeeper(bad, loaded(10));
    const { options, outputs } = fakeLoop(batchesOf(samples, 10), keeper);
    await runLoop({ ...options, vote: 'none' });
    const [first, second] = [expected(9, samples), expected(10, samples)];
    expect(given(outputs.answers)).toEqual([...first.slice(0, 3), ...second.slice(3)]);
    expect(keeper.complaints).toEqual([{ model: bad, error: boom }]);
  });

  it('is rejected if it expects other samples, and is not tried again', async () => {
    const odd = loaded(9);
    odd.info = { ...odd.info, signal: { ...odd.info.signal, fields: ['x', 'z', 'y'] } };
    const keeper = fakeKeeper(loaded(10));
    const { options, outputs } = fakeLoop(swapping(keeper, 210, odd), keeper);
    await runLoop({ ...options, vote: 'none' });
    expect(given(outputs.answers)).toEqual(expected(10, samples));
    expect(keeper.complaints.map(({ error }) => error)).toEqual([
      expect.objectContaining({ code: 'AIOT_MODEL_UNFIT' }),
    ]);
  });

  it('is optional: without one, the loop continues and predicts again when its model recovers', async () => {
    let windows = 0;
    const moody = loaded(10, (predictor) => ({
      ...predictor,
      push(sample) {
        const answer = predictor.push(sample);
        if (answer && windows++ === 2) return { ...answer, scores: [Number.NaN, 0, 0] };
        return answer;
      },
    }));
    const keeper = fakeKeeper(moody);
    const { options, outputs } = fakeLoop(batchesOf(samples, 10), keeper);
    const result = await runLoop({ ...options, vote: 'none' });
    const all = expected(10, samples);
    // Prediction restarts after the window that failed.
    const failedAt = all[2]![0];
    expect(given(outputs.answers)).toEqual([...all.slice(0, 2), ...expected(10, samples, failedAt + 1)]);
    expect(result.samples).toBe(600);
    expect(keeper.complaints).toHaveLength(1);
  });
});

describe('the options of a loop', () => {
  it.each([
    ['an unknown vote', { vote: 'most' }, /expected none, majority/],
    ['an invalid time', { until: 'tomorrow' }, /--until: expected a time/],
    ['a past time', { until: '2020-01-01T00:00' }, /is in the past/],
    ['a duration of zero', { forMs: 0 }, /--for/],
    ['two end times', { forMs: 1000, until: '23:59' }, /--for and --until cannot be combined/],
  ])('are rejected with %s, before anything is opened', async (_, more, message) => {
    const { options } = fakeLoop();
    let opened = false;
    const parts = {
      ...options.parts,
      models: async () => {
        opened = true;
        throw new Error('opened');
      },
    };
    await expect(runLoop({ ...options, parts, ...more })).rejects.toMatchObject({
      code: 'AIOT_USAGE',
      message: expect.stringMatching(message),
    });
    expect(opened).toBe(false);
  });

  it('accept a time of day as the end, today or tomorrow', () => {
    const noon = new Date(2026, 0, 31, 12, 0, 0).getTime();
    expect(new Date(untilTime('12:30', noon))).toEqual(new Date(2026, 0, 31, 12, 30, 0));
    expect(new Date(untilTime('11:30:10', noon))).toEqual(new Date(2026, 1, 1, 11, 30, 10));
    expect(untilTime('2026-02-01T00:00:00Z', noon)).toBe(Date.UTC(2026, 1, 1));
  });
});

describe('a latency histogram', () => {
  it('estimates percentiles to within 2.6 %', () => {
    const values = fc.array(fc.double({ min: 0.002, max: 5000, noNaN: true }), {
      minLength: 1,
      maxLength: 200,
    });
    fc.assert(
      fc.property(values, fc.double({ min: 0.01, max: 1, noNaN: true }), (all, share) => {
        const histogram = createHistogram();
        for (const value of all) histogram.add(value);
        const sorted = [...all].sort((a, b) => a - b);
        const exact = sorted[Math.max(1, Math.ceil(share * all.length)) - 1]!;
        // Results have three significant digits.
        expect(Math.abs(histogram.percentile(share)! / exact - 1)).toBeLessThan(0.026);
        expect(histogram.spread(10, 0.1, 1000).reduce((sum, each) => sum + each, 0)).toBe(all.length);
      }),
    );
  });
});
