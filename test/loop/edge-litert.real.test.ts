import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { openModel } from '../../src/lib/loop/model/open-model.js';
import { runLoop } from '../../src/lib/loop/run/run.js';
import type { LoadedModel, ModelEvent } from '../../src/lib/loop/types.js';
import { runCli } from '../support/cli.js';
import { batchesOf, fakeLoop, livelySamples, motionFolder } from '../support/loop.js';
import { motionBundle, motionSamples, streamingBundle } from '../support/motion-bundle.js';
import { describeReal, python } from '../support/real.js';

let folder: string;
let events: ModelEvent[];
const before = process.env.AIOT_PYTHON;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-edge-litert-'));
  events = [];
});
afterEach(async () => {
  if (before === undefined) delete process.env.AIOT_PYTHON;
  else process.env.AIOT_PYTHON = before;
  await rm(folder, { recursive: true, force: true });
});

async function open(bundle: Uint8Array, delegate: 'cpu' | 'ai-edge-litert') {
  const reference = join(folder, `${delegate}.aiot`);
  await writeFile(reference, bundle);
  const cache = join(folder, 'cache');
  return openModel({ reference, project: null, cache, delegate, onEvent: (event) => events.push(event) });
}

function scoresOf(model: LoadedModel, samples: number[][]): number[][] {
  const predictor = model.createPredictor();
  const scores = () => samples.flatMap((sample) => predictor.push(sample)?.scores ?? []);
  const first = scores();
  predictor.reset();
  return [first, scores()];
}

/** IDs of the processes that run models for this one, including those that have ended but are still listed. */
async function pythons(): Promise<number[]> {
  const ids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(
    ids.map(async (id) => {
      const stat = await readFile(`/proc/${id}/stat`, 'utf8').catch(() => '');
      const [, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return Number(parent) === process.pid && /\(python/.test(stat) ? [Number(id)] : [];
    }),
  );
  return found.flat();
}

const patience = { timeout: 30_000, interval: 50 };

async function onePython(): Promise<number> {
  await vi.waitFor(async () => expect(await pythons()).toHaveLength(1), patience);
  return (await pythons())[0]!;
}

const noPython = () => vi.waitFor(async () => expect(await pythons()).toEqual([]), patience);

describeReal('litert', 'a loop with --runtime ai-edge-litert', () => {
  it.each([
    ['an int8 model', motionBundle(3)],
    ['a model with variables, which start again after a reset', streamingBundle(3)],
  ])('runs %s, within two steps of the interpreter', async (_, bundle) => {
    process.env.AIOT_PYTHON = python('litert');
    const native = await open(bundle, 'ai-edge-litert');
    const device = await open(bundle, 'cpu');
    try {
      expect(events).toEqual([]);
      expect(native.state().delegate).toBe('ai-edge-litert');
      const samples = motionSamples(200, 4);
      const [got, expected] = [native, device].map((keeper) => scoresOf(keeper.current(), samples));
      expect(expected![0]!.length).toBe(21);
      expect(got![1]).toEqual(got![0]);
      for (const [i, value] of got![0]!.entries())
        expect(Math.abs(value - expected![0]![i]!)).toBeLessThan(2.5 / 16);
      // Python ends, and a later prediction starts it again.
      native.current().release!();
      expect(scoresOf(native.current(), samples)).toEqual(got);
    } finally {
      await native.close();
      await device.close();
    }
  });

  it('runs Python only for the model in use, also after a swap', async () => {
    process.env.AIOT_PYTHON = python('litert');
    const keeper = await open(motionBundle(3), 'ai-edge-litert');
    // The golden vectors were checked in Python, which has ended.
    await noPython();
    const batches = batchesOf(livelySamples(600), 10);
    async function* swapping() {
      for (const [i, batch] of batches.entries()) {
        if (i === 20) {
          await onePython();
          await keeper.use(motionBundle(4));
        }
        // The window after the swap has been predicted by now.
        if (i === 40) await onePython();
        yield batch;
      }
    }
    const close = keeper.close;
    keeper.close = noPython;
    const { options, outputs } = fakeLoop(swapping(), keeper);
    await runLoop({ ...options, vote: 'none' });
    await close();
    expect(outputs.answers.length).toBeGreaterThan(20);
    expect(keeper.state()).toMatchObject({ swaps: 1, delegate: 'ai-edge-litert', refused: [] });
  });

  it('starts Python again once if it ends, and then continues in the interpreter, without blaming the model', async () => {
    process.env.AIOT_PYTHON = python('litert');
    const keeper = await open(streamingBundle(3), 'ai-edge-litert');
    const model = keeper.current();
    const predictor = model.createPredictor();
    const samples = motionSamples(200, 4);
    const scores = () => samples.flatMap((sample) => predictor.push(sample)?.scores ?? []);
    const end = async () => {
      process.kill(await onePython(), 'SIGKILL');
      await noPython();
    };
    const first = scores();
    await end();
    // Does not throw, although Python has ended; the variables have their initial values.
    predictor.reset();
    expect(scores()).toEqual(first);
    await end();
    expect(scores()).toHaveLength(24);
    expect(model.delegate).toBe('ai-edge-litert');
    expect(events).toEqual([]);
    // A service manager and Ctrl-C do not end Python before the loop has stopped.
    process.kill(await onePython(), 'SIGTERM');
    expect(scores()).toHaveLength(24);
    expect(model.delegate).toBe('ai-edge-litert');
    await end();
    expect(scores()).toHaveLength(24);
    predictor.reset();
    const last = scores();
    for (const [i, value] of last.entries()) expect(Math.abs(value - first[i]!)).toBeLessThan(2.5 / 16);
    expect(keeper.state()).toMatchObject({ delegate: 'cpu', refused: [], swaps: 0, lastError: null });
    expect(events).toHaveLength(1);
    expect(events[0]!.text).toMatch(/continues in the interpreter: AIOT_LITERT_FAILED: /);
    await keeper.close();
    await noPython();
  });

  it('replays a recording, and reports the runtime', async () => {
    process.env.AIOT_PYTHON = python('litert');
    const project = await motionFolder(livelySamples(500));
    const run = async (runtime: string) => {
      const { code, json } = await runCli([
        ...['loop', 'run', '--project', project, '--sensor', 'file:recording.csv?rate=100&speed=max'],
        ...['--runtime', runtime, '--out', `file:${join(folder, runtime)}`, '--json'],
      ]);
      expect(code).toBe(0);
      return json as { predictions: number; model: { delegate: string } };
    };
    const [native, device] = [await run('ai-edge-litert'), await run('device')];
    expect(native.model.delegate).toBe('ai-edge-litert');
    expect(device.model.delegate).toBe('cpu');
    expect(native.predictions).toBe(device.predictions);
    expect(native.predictions).toBe(19);
    await rm(project, { recursive: true });
  });
});

it('a loop whose Python does not exist reports that, and runs the model in the interpreter', async () => {
  process.env.AIOT_PYTHON = join(folder, 'no-python');
  const keeper = await open(motionBundle(3), 'ai-edge-litert');
  expect(keeper.state().delegate).toBe('cpu');
  expect(events).toHaveLength(1);
  expect(events[0]!.text).toMatch(
    /runs in the interpreter instead of ai-edge-litert: AIOT_BACKEND_MISSING.*no-python does not exist.*pip install/,
  );
  expect(scoresOf(keeper.current(), motionSamples(50))[0]).toHaveLength(3);
  await keeper.close();
});
