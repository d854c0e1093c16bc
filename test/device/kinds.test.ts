import { describe, expect, it } from 'vitest';
import { interpreterRuntime } from '../../src/lib/device/runtime.js';
import type { FirmwareTraits } from '../../src/lib/device/virtual/firmware.js';
import { createFlash } from '../../src/lib/device/virtual/flash.js';
import { flashBytesFor } from '../../src/lib/device/virtual/store.js';
import { unpackBundle } from '../../src/lib/model/bundle/pack.js';
import { createPredictor } from '../../src/lib/model/bundle/predictor.js';
import type { AnswerSpec } from '../../src/lib/model/bundle/types.js';
import { manifestOf } from '../../src/lib/model/publish/push.js';
import { answerKinds, standardized, tableBundle, tableRows } from '../support/any-bundle.js';
import { memorySource, release, testUpdater } from '../support/update.js';

const modes = ['int8', 'int16x8', 'float32', 'float16', 'mixed'] as const;

/** Offers a bundle to a blank virtual device, as the platform would; resolves with the device's last report. */
async function offer(bytes: Uint8Array, firmware?: FirmwareTraits) {
  const signed = {
    name: 'table',
    version: 1,
    sequence: 1,
    issued: 1,
    expires: null,
    deviceTypes: ['virtual'],
  };
  const { interface: needed, model, files } = manifestOf(bytes, signed);
  const told = {
    ...(needed === undefined ? {} : { interface: needed }),
    ...(model ? { model } : {}),
    ...(files ? { files } : {}),
  };
  const wanted = release(bytes, 1, { name: 'table', ...told });
  const flash = createFlash({ bytes: flashBytesFor(64 * 1024) });
  const { updater, reports } = await testUpdater(flash, {
    source: memorySource([wanted]),
    runtime: interpreterRuntime,
    ...(firmware ? { firmware } : {}),
  });
  updater.desire(wanted.desired);
  await updater.settled();
  return reports.at(-1)!;
}

/** Returns the label for the float model's output, according to the bundle's threshold. */
function wordsOf(answer: AnswerSpec, classes: string[], output: Float32Array, row: number[]) {
  const input = standardized(row);
  const error = output.reduce((sum, x, i) => sum + (x - (input[i] ?? 0)) ** 2, 0) / output.length;
  switch (answer.kind) {
    case 'classes':
      return { label: classes[output.indexOf(Math.max(...output))], value: null };
    case 'probability':
      return { label: classes[output[0]! >= answer.threshold ? 1 : 0], value: output[0]! };
    case 'value':
      return { label: null, value: output[0]! };
    case 'reconstruction':
      return { label: classes[error > answer.threshold ? 1 : 0], value: error };
    case 'objects':
      throw new Error('a row of a table has no objects');
  }
}

describe.each(answerKinds)('a table bundle of the kind %s', (kind) => {
  it.each(modes)('as %s is installed over the air, and its golden vectors pass', async (mode) => {
    const { bytes, bundle } = tableBundle(kind, mode);
    expect(unpackBundle(bytes)).toEqual(bundle);
    const wanted = mode === 'int16x8' ? 'int16' : mode.startsWith('float') ? 'float32' : 'int8';
    expect(bundle.info.input.type).toBe(wanted);
    expect(await offer(bytes)).toMatchObject({
      state: 'COMMITTED',
      golden: { vectors: 6, passed: 6 },
      error: null,
    });
  });

  it.each([...modes, 'int8 with float32 I/O'] as const)('as %s agrees with the float model', (mode) => {
    const [made, io] = mode === 'int8 with float32 I/O' ? (['int8', 'float32'] as const) : ([mode] as const);
    const { bundle, float } = tableBundle(kind, made, io);
    const { answer, classes } = bundle.info;
    const predictor = createPredictor(bundle);
    const rows = tableRows(100, 21);
    let same = 0;
    let far = 0;
    for (const [i, row] of rows.entries()) {
      const prediction = predictor.push(row)!;
      expect(prediction.window).toBe(i);
      const expected = wordsOf(answer, classes, float(row), row);
      if (prediction.label === expected.label) same++;
      far = Math.max(far, Math.abs((prediction.value ?? 0) - (expected.value ?? 0)));
      expect(prediction.value === null).toBe(expected.value === null);
      expect(prediction.voted === null).toBe(kind === 'value');
      if (kind === 'probability') expect(prediction.scores[0]! + prediction.scores[1]!).toBeCloseTo(1, 6);
    }
    // An int8 output may fall on the other side of a threshold that it is close to.
    expect(same).toBeGreaterThanOrEqual(made === 'int8' || made === 'mixed' ? 90 : 98);
    expect(far).toBeLessThan(made === 'int8' || made === 'mixed' ? 1 : 0.05);
  });
});

describe('a device that is offered a bundle', () => {
  const chip: FirmwareTraits = { interface: 1, modes: ['int8'] };
  it.each([
    ['classes', 'int8', chip, null],
    ['classes', 'int16x8', chip, 'expected a model for firmware of interface 1 at most, got one for 2'],
    ['value', 'int8', chip, 'expected a model for firmware of interface 1 at most, got one for 2'],
    [
      'classes',
      'float32',
      { ...chip, interface: 2 },
      'expected a model for firmware of interface 2 at most, got one for 14',
    ],
    ['classes', 'float32', { ...chip, interface: 14 }, 'expected a network of int8, got float32'],
    ['value', 'int8', { ...chip, interface: 2 }, null],
    [
      'classes',
      'dynamic',
      undefined,
      'expected a network of int8, int16x8, float32, float16, mixed, got dynamic',
    ],
  ] as const)(
    'installs (%s, %s), or rejects it with a reason before the download',
    async (kind, mode, firmware, message) => {
      const report = await offer(tableBundle(kind, mode).bytes, firmware);
      if (message === null) expect(report).toMatchObject({ state: 'COMMITTED', error: null });
      else {
        expect(report).toMatchObject({
          state: 'IDLE',
          download: null,
          error: { code: 'AIOT_UPDATE_INTERFACE', message },
        });
      }
    },
  );

  it('rolls back if a prediction differs from its golden vector, including the threshold', async () => {
    const { bundle } = tableBundle('probability', 'int8');
    const { packBundle } = await import('../../src/lib/model/bundle/pack.js');
    bundle.info.answer = { kind: 'probability', threshold: 0.999 };
    const labels = bundle.golden.map(({ answer }) => answer.label);
    expect(labels).toContain('faulty');
    expect(await offer(packBundle(bundle))).toMatchObject({
      state: 'ROLLED_BACK',
      error: { code: 'AIOT_GOLDEN_MISMATCH' },
    });
  });
});
