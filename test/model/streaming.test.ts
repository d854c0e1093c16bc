import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { digestOf } from '../../src/lib/core/crypto.js';
import type { DeviceEvent } from '../../src/lib/device/events.js';
import { createVirtualDevice } from '../../src/lib/device/virtual/device.js';
import { signManifest } from '../../src/lib/formats/manifest/manifest.js';
import { readTflite } from '../../src/lib/formats/tflite/read.js';
import { runLoop } from '../../src/lib/loop/run/run.js';
import { unpackBundle } from '../../src/lib/model/bundle/pack.js';
import { manifestOf } from '../../src/lib/model/publish/push.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { runCli } from '../support/cli.js';
import { batchesOf, fakeOutputs, fakeSensing, livelySamples, motionFolder } from '../support/loop.js';
import { streamingBundle } from '../support/motion-bundle.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { oneWave, rolloutEnd } from '../support/rollout.js';

const bytes = streamingBundle(10);
const bundle = unpackBundle(bytes);

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-streaming-'));
});
afterAll(() => rm(folder, { recursive: true }));

/** The windows of a recording: 50 samples of three axes, every 25 samples. */
function windowsOf(samples: readonly number[][]): number[][] {
  const count = Math.max(0, Math.floor((samples.length - 50) / 25) + 1);
  return Array.from({ length: count }, (_, i) => samples.slice(i * 25, i * 25 + 50).flat());
}

/** The outputs of the interpreter alone, in one session for each of the recordings. */
function expected(...recordings: (readonly number[][])[]): number[][] {
  const graph = readTflite(bundle.model);
  const { input, output } = bundle.info;
  return recordings.flatMap((samples) => {
    const interpreter = createInterpreter(graph);
    return windowsOf(samples).map((window) => {
      const x = Int8Array.from(window, (value) => {
        const q = Math.round(Math.fround(value) / input.scale) + input.zeroPoint;
        return Math.max(-128, Math.min(127, q));
      });
      return Array.from(interpreter.invoke(x), (q) => (q - output.zeroPoint) * output.scale);
    });
  });
}

describe('the variables of a streaming model', () => {
  const samples = livelySamples(400);
  const [before, after] = [samples.slice(0, 180), samples.slice(193)];

  it('are kept from window to window in a loop, and are reset by a gap', async () => {
    const project = await motionFolder();
    await writeFile(join(project, 'build', 'model.aiot'), bytes);
    // 13 samples are lost before the third batch.
    const sensing = fakeSensing(batchesOf([...before, ...after], 90, { 2: 13 }));
    const outputs = fakeOutputs();
    const result = await runLoop({
      ...{ project, model: join(project, 'build', 'model.aiot'), transient: true, vote: 'none' },
      parts: { sensing: async () => sensing, outputs: async () => outputs },
    });
    expect(result).toMatchObject({ samples: before.length + after.length, lost: 13, gaps: 1 });
    expect(outputs.answers.map(({ scores }) => scores)).toEqual(expected(before, after));
    await rm(project, { recursive: true });
  });

  it('are kept on a virtual device, and are reset by the next recording', async () => {
    const own: TestPlatform = await testPlatform();
    const dir = join(own.folder, 'streaming-1');
    await mkdir(dir, { recursive: true });
    await provisionDevice({ client: own.client, name: 'streaming-1', type: 'virtual', out: dir });
    const events: DeviceEvent[] = [];
    const device = await createVirtualDevice({ identityDir: dir, onEvent: (event) => events.push(event) });
    try {
      await device.connect();
      const { client, key } = own;
      await client.blobs.put(digestOf(bytes), bytes);
      const { version, sequence } = await client.models.next('motion');
      const signed = { name: 'motion', version, sequence, issued: Date.now(), expires: null };
      await client.models.push(
        'motion',
        signManifest(manifestOf(bytes, { ...signed, deviceTypes: ['virtual'] }), key),
      );
      const { id } = await client.rollouts.start(
        oneWave({ name: 'motion', version, sequence, deadlineMs: 20_000 }),
      );
      expect((await rolloutEnd(client, id)).devices[0]).toMatchObject({ state: 'committed', error: null });
      for (const [take, part] of [before, after].entries())
        await device.replay(
          {
            ...{ id: `take${take}`, label: null, device: null, rateHz: 100, startedAt: 1_700_000_000_000 },
            fields: ['x', 'y', 'z'],
            columns: [0, 1, 2].map((f) => Float64Array.from(part, (sample) => sample[f]!)),
          },
          { stream: 'imu', speed: 'max', predict: true },
        );
      const scores = events.flatMap((each) => (each.event === 'inference' ? [each.inference.scores] : []));
      expect(scores).toEqual(expected(before, after));
    } finally {
      await device.stop();
      await own.stop();
    }
  });

  it('are reset between two recordings by aiot model evaluate', async () => {
    const [file, data, outputs] = ['model.tflite', 'rows.csv', 'outputs.csv'].map((name) =>
      join(folder, name),
    );
    await writeFile(file!, bundle.model);
    const rows = [before, after].flatMap((part, take) =>
      windowsOf(part).map((window, i) => [...window, `take${take}`, i % 3].join()),
    );
    const names = [...windowsOf(before)[0]!.map((_, i) => `x${i}`), 'recording', 'label'];
    await writeFile(data!, [names.join(), ...rows].join('\n'));
    const evaluated = await runCli([
      ...[
        'model',
        'evaluate',
        file!,
        '--data',
        data!,
        '--output',
        'classes',
        '--outputs',
        outputs!,
        '--json',
      ],
    ]);
    expect(evaluated).toMatchObject({ code: 0, json: { n: rows.length } });
    const [, ...lines] = (await readFile(outputs!, 'utf8')).trimEnd().split('\n');
    expect(lines.map((line) => line.split(',').slice(-3).map(Number))).toEqual(expected(before, after));
  });

  it('would change the outputs if they were not reset', () => {
    const together = expected([...before.slice(0, 175), ...after]);
    expect(together.at(-1)).not.toEqual(expected(before, after).at(-1));
  });
});
