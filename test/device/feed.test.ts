import { describe, expect, it } from 'vitest';
import { systemClock } from '../../src/lib/core/time.js';
import type { Telemetry } from '../../src/lib/device/protocol/messages.js';
import { interpreterRuntime } from '../../src/lib/device/runtime.js';
import { feed } from '../../src/lib/device/telemetry/feed.js';
import { type DeviceConfig, deviceConfigSchema } from '../../src/lib/formats/device-config.js';
import { motionSamples, streamingBundle } from '../support/motion-bundle.js';

const name = { name: 'motion', version: 1, sequence: 1, digest: `sha256:${'0'.repeat(64)}` };
const configOf = (members: object): DeviceConfig =>
  deviceConfigSchema.parse({ spec: 'aiot-config/1', ...members });

interface Ran {
  inferences: { window: number; voted: string | null; scores: number[] }[];
  messages: Telemetry[];
  unfit: (string | null)[];
}

/** Feeds a sensor's samples to a model with state. The configuration changes before the samples with these numbers. */
async function run(samples: number[][], rateHz: number, changes: Record<number, object>): Promise<Ran> {
  const loaded = await interpreterRuntime.load(streamingBundle(10));
  const model = { loaded, name };
  let config = configOf(changes[0] ?? {});
  const ran: Ran = { inferences: [], messages: [], unfit: [] };
  const sensor = {
    ...{ fields: ['x', 'y', 'z'], rateHz },
    *samples() {
      for (const [i, sample] of samples.entries()) {
        if (i > 0 && changes[i]) config = configOf(changes[i]);
        yield sample;
      }
    },
  };
  const options = { stream: 'imu', recordingId: 'a', speed: 'max' as const, telemetry: true, predict: true };
  await feed(
    sensor,
    { ...options, startedAt: 0 },
    {
      clock: systemClock,
      model: () => model,
      onModel: (unfit) => ran.unfit.push(unfit),
      config: () => config,
      publishTelemetry: async (_stream, message) => void ran.messages.push(message),
      publishInference: async ({ window, voted, scores }) =>
        void ran.inferences.push({ window, voted, scores } as Ran['inferences'][number]),
    },
  );
  return ran;
}

describe('a new configuration in the middle of a recording', () => {
  it('continues the window, the state and the smoothing of the model, as on a board', async () => {
    const samples = motionSamples(400);
    const plain = await run(samples, 100, {});
    const changed = await run(samples, 100, { 90: { telemetry: { intervalMs: 500 } }, 213: { report: {} } });
    expect(changed.inferences).toEqual(plain.inferences);
    expect(plain.inferences).toHaveLength(15);
    expect(changed.unfit).toEqual([null]);
    expect(changed.messages.map(({ x }) => (x as number[]).length)).toEqual([90, 50, 50, 23, 100, 87]);
  });

  it('starts the model anew at another rate, and lets it pause at a rate that does not fit it', async () => {
    const twice = motionSamples(400).flatMap((sample) => [sample, sample]);
    const changes = { 0: { sampleHz: 100 }, 300: {}, 400: { sampleHz: 100 } };
    const { inferences, unfit, messages } = await run(twice, 200, changes);
    const windows = inferences.map(({ window }) => window);
    expect(windows).toEqual([0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 5, 6]);
    const after = await run(motionSamples(400).slice(200), 100, {});
    expect(inferences.slice(5)).toEqual(after.inferences);
    expect(unfit).toEqual([null, expect.stringContaining('expected 100 Hz'), null]);
    expect(messages.map(({ rate }) => rate)).toEqual([100, 100, 200, 100, 100]);
  });
});
