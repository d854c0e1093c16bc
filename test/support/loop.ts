import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { digestOf } from '../../src/lib/core/crypto.js';
import type { LoopOptions, LoopParts } from '../../src/lib/loop/run/options.js';
import type { Answer, LoadedModel, ModelKeeper, Outputs, Sensing } from '../../src/lib/loop/types.js';
import { unpackBundle } from '../../src/lib/model/bundle/pack.js';
import { createPredictor, type Predictor } from '../../src/lib/model/bundle/predictor.js';
import type { SampleBatch } from '../../src/lib/sensor/types.js';
import { motionBundle, motionSamples } from './motion-bundle.js';

/**
 * A walk that is weak, strong and wild in turn, in which the untrained bundles of seeds 9 and 10 each predict all of
 * their classes.
 */
export function livelySamples(count: number): number[][] {
  const gains = [0.2, 3, 1, 6];
  const turns = [1, -1, 2];
  return motionSamples(count).map((sample, i) =>
    sample.map((value, f) => value * gains[Math.floor(i / 70) % 4]! * turns[f]!),
  );
}

/** Batches of samples of a walk at 100 Hz; a batch can be preceded by a number of lost samples. */
export function batchesOf(
  samples: readonly number[][],
  size: number,
  lostBefore: Readonly<Record<number, number>> = {},
): SampleBatch[] {
  const batches: SampleBatch[] = [];
  for (let start = 0; start < samples.length; start += size) {
    const part = samples.slice(start, start + size);
    batches.push({
      values: Float64Array.from(part.flat()),
      times: Float64Array.from(part, (_, i) => 1_700_000_000_000 + (start + i) * 10),
      count: part.length,
      lost: lostBefore[batches.length] ?? 0,
    });
  }
  return batches;
}

/** A three-axis sensor that returns these batches, and then ends or, if `live`, waits until it is closed. */
export function fakeSensing(
  batches: Iterable<SampleBatch> | AsyncIterable<SampleBatch>,
  options: { live?: boolean; everyMs?: number; fail?: unknown } = {},
): Sensing & { closed: boolean } {
  let samples = 0;
  let lost = 0;
  let gaps = 0;
  let close = () => {};
  const closing = new Promise<void>((resolve) => {
    close = resolve;
  });
  const sensing = {
    endpoint: 'fake:walk',
    fields: ['x', 'y', 'z'].map((name) => ({ name, unit: 'g' })),
    rateHz: 100,
    faults: { overruns: 0, retries: 0, reconnects: 0 },
    closed: false,
    rates: () => ({ samples, lost, gaps, rateHz: 100, jitterP99Ms: 0 }),
    async *[Symbol.asyncIterator]() {
      for await (const batch of batches) {
        if (sensing.closed) return;
        if (options.everyMs !== undefined) await sleep(options.everyMs);
        samples += batch.count;
        lost += batch.lost;
        if (batch.lost > 0) gaps++;
        yield batch;
      }
      if (options.fail !== undefined) throw options.fail;
      if (options.live) await closing;
    },
    close: async () => {
      sensing.closed = true;
      close();
    },
  };
  return sensing;
}

export function loaded(seed = 10, change: (predictor: Predictor) => Predictor = (same) => same): LoadedModel {
  const bytes = motionBundle(seed);
  const bundle = unpackBundle(bytes);
  return {
    name: 'motion',
    version: seed,
    digest: digestOf(bytes),
    info: bundle.info,
    delegate: 'cpu',
    createPredictor: () => change(createPredictor(bundle)),
  };
}

export interface FakeKeeper extends ModelKeeper {
  model: LoadedModel;
  complaints: { model: LoadedModel; error: unknown }[];
}

/** A store that returns `model` until a test replaces it, and rolls back to `before` if that is given. */
export function fakeKeeper(model: LoadedModel, before?: LoadedModel): FakeKeeper {
  const keeper: FakeKeeper = {
    model,
    complaints: [],
    current: () => keeper.model,
    misbehaved(which, error) {
      keeper.complaints.push({ model: which, error });
      if (which === keeper.model && before) keeper.model = before;
    },
    use: async () => keeper.model,
    check: async () => {},
    state: () => ({
      name: keeper.model.name,
      version: keeper.model.version,
      digest: keeper.model.digest,
      source: 'file',
      delegate: 'cpu',
      swaps: 0,
      refused: [],
      lastError: null,
    }),
    close: async () => {},
  };
  return keeper;
}

export function fakeOutputs(): Outputs & { answers: Answer[]; closed: boolean } {
  const outputs = {
    answers: [] as Answer[],
    closed: false,
    put: (answer: Answer) => void outputs.answers.push(answer),
    settled: async () => {},
    states: () => [
      {
        ...{ endpoint: 'fake:out', connected: true, sent: outputs.answers.length },
        ...{ waiting: 0, dropped: 0, lastError: null },
      },
    ],
    close: async () => {
      outputs.closed = true;
    },
  };
  return outputs;
}

/** Fake parts of a loop, and the options that assemble a loop from them. */
export function fakeLoop(
  samples: Iterable<SampleBatch> | AsyncIterable<SampleBatch> = batchesOf(livelySamples(500), 25),
  keeper: ModelKeeper = fakeKeeper(loaded()),
  how: Parameters<typeof fakeSensing>[1] = {},
) {
  const sensing = fakeSensing(samples, how);
  const outputs = fakeOutputs();
  const parts: Partial<LoopParts> = {
    sensing: async () => sensing,
    models: async () => keeper,
    outputs: async () => outputs,
  };
  const options: LoopOptions = { project: '.', model: 'any.aiot', parts, transient: true };
  return { sensing, keeper, outputs, options };
}

/**
 * Creates a folder with the project of `motionBundle`, its built model, and a recording of a walk at the project's
 * rate.
 */
export async function motionFolder(samples = livelySamples(500), more = ''): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'aiot-loop-'));
  await mkdir(join(folder, 'build'));
  const axis = '{ unit: g, range: [-8, 8] }';
  const text = `name: motion
stream: { topic: motion, fields: { x: ${axis}, y: ${axis}, z: ${axis} } }
signal: { rate: 100, window: 50, stride: 25, features: raw }
model: { labels: { resting: [resting], walking: [walking], stairs: [stairs] } }
${more}`;
  await writeFile(join(folder, 'aiot.yaml'), text);
  await writeFile(join(folder, 'build', 'model.aiot'), motionBundle(10));
  await writeFile(join(folder, 'recording.csv'), `x,y,z\n${samples.map((row) => row.join()).join('\n')}\n`);
  return folder;
}
