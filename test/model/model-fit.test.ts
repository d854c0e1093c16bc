import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../src/lib/core/numbers.js';
import type { Graph } from '../../src/lib/formats/tflite/graph.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { chips } from '../../src/lib/model/fit/chips.js';
import { layerCycles } from '../../src/lib/model/fit/kernels.js';
import { type Fit, fitSchema } from '../../src/lib/model/fit/result.js';
import { arenaBytes } from '../../src/lib/runtime/arena.js';
import { runCli } from '../support/cli.js';
import { GraphBuilder } from '../support/graph-builder.js';
import { motorFolder } from '../support/motor-files.js';
import { cnn, mlp } from '../support/networks.js';
import { oneOpGraphs } from '../support/one-op-graphs.js';
import { temporaryFolder } from './support.js';

async function fitted(graph: Graph, ...flags: string[]) {
  const file = join(await temporaryFolder(), 'model.tflite');
  await writeFile(file, writeTflite(graph));
  const result = await runCli(['model', 'fit', file, ...flags, '--json']);
  return { ...result, value: result.json as Fit, file };
}

const small = () => mlp(seededRandom(3), [8, 24, 3]);

/**
 * The shape and operators of the person detector that vendors benchmark: MobileNet v1 with width 0.25 on 96×96 gray
 * pixels.
 */
function personDetector(): Graph {
  const b = new GraphBuilder(seededRandom(1));
  const input = b.activation([1, 96, 96, 1], 0.05, 0);
  let x = convolve(b, input, [1, 48, 48, 8], 3, 2);
  const steps: [stride: number, outputs: number][] = [
    [1, 16],
    [2, 32],
    [1, 32],
    [2, 64],
    [1, 64],
    [2, 128],
    [1, 128],
    [1, 128],
    [1, 128],
    [1, 128],
    [1, 128],
    [2, 256],
    [1, 256],
  ];
  for (const [stride, outputs] of steps) {
    const [, h = 1, , channels = 1] = b.tensors[x]!.shape;
    const size = h / stride;
    const deep = b.activation([1, size, size, channels], 0.05, 0);
    const w = b.weights([1, 3, 3, channels], 3);
    const options = {
      padding: 'same',
      strideH: stride,
      strideW: stride,
      dilationH: 1,
      dilationW: 1,
      depthMultiplier: 1,
      activation: 'relu',
    } as const;
    b.op({ op: 'DEPTHWISE_CONV_2D', inputs: [x, w, b.bias(x, w, channels)], outputs: [deep], options });
    x = convolve(b, deep, [1, size, size, outputs], 1, 1);
  }
  return b.graph(input, x);
}

function convolve(b: GraphBuilder, x: number, shape: number[], taps: number, stride: number): number {
  const channels = b.tensors[x]!.shape[3]!;
  const w = b.weights([shape[3]!, taps, taps, channels], 0);
  const y = b.activation(shape, 0.05, 0);
  const options = {
    padding: 'same',
    strideH: stride,
    strideW: stride,
    dilationH: 1,
    dilationW: 1,
    activation: 'relu',
  } as const;
  return b.op({ op: 'CONV_2D', inputs: [x, w, b.bias(x, w, shape[3]!)], outputs: [y], options });
}

describe('aiot model fit', () => {
  it.each([
    [118, 'IF: expected a condition of one bool, got int8'],
    [78, 'operator 0: POW is not supported: use MUL'],
    [24, 'operator 0: RNN is not supported: use convolutions over time (CONV_2D of height 1)'],
  ])('names an operator that no chip supports (operator code %s)', async (code, message) => {
    const network = Buffer.from(writeTflite(oneOpGraphs.LOGISTIC!(seededRandom(1))));
    const wide = network.indexOf(Buffer.from([14, 0, 0, 0, 2, 0, 0, 0]));
    expect(wide).toBeGreaterThan(0);
    network.writeInt32LE(code, wide);
    const file = join(await temporaryFolder(), 'other.tflite');
    await writeFile(file, network);
    for (const verb of [['fit'], ['fit', '--chip', 'esp32s3'], ['quantize', '--mode', 'float16']]) {
      const { json } = await runCli(['model', ...verb, file, '--json']);
      const said = (json as { error: { code: string; message: string } }).error;
      expect(said.code).toBe('AIOT_TFLITE_UNSUPPORTED');
      expect(said.message).toContain(message);
    }
  });
});

describe('the kernel cost table', () => {
  // Espressif's measurements of invoke() with ESP-NN, from the README of esp-tflite-micro.
  it.each([
    ['esp32s3', 54, 0.1],
    ['esp32', 380, 0.02],
    ['esp32c3', 426, 0.02],
  ] as const)(
    'predicts the measured time of the person detector on the %s: about %i ms',
    (name, ms, within) => {
      const chip = chips[name];
      const cycles = layerCycles(personDetector(), chip.core).reduce((sum, layer) => sum + layer.cycles, 0);
      expect(Math.abs(cycles / (chip.clockMHz * 1000) / ms - 1)).toBeLessThan(within);
    },
  );

  it('predicts a latency close to the measured 9.67 ms for MLPerf’s autoencoder on a Cortex-M4', () => {
    const sizes = [640, 128, 128, 128, 128, 8, 128, 128, 128, 128, 640];
    const graph = mlp(seededRandom(1), sizes);
    const cycles = layerCycles(graph, 'm4').reduce((sum, layer) => sum + layer.cycles, 0);
    // The benchmarked model has no softmax at the end.
    expect(Math.abs(cycles / 120_000 / (1000 / 103.46) - 1)).toBeLessThan(0.2);
  });

  it('assumes library kernels for int8 layers on every core', () => {
    for (const { core } of Object.values(chips)) {
      const int8 = layerCycles(cnn(seededRandom(1)), core);
      expect(int8.every(({ kernels }) => kernels === 'library')).toBe(true);
    }
  });
});

describe('the output of aiot model fit', () => {
  it('compares all chips if none is named', async () => {
    const graph = small();
    const { value, code } = await fitted(graph);
    expect(code).toBe(0);
    expect(fitSchema.parse(value)).toEqual(value);
    expect(value.chips.map(({ chip }) => chip)).toEqual(Object.keys(chips));
    expect(value).toMatchObject({
      arenaBytes: arenaBytes(graph),
      macs: 8 * 24 + 24 * 3,
      fits: true,
      error: null,
    });
    for (const { latency, layers, sources } of value.chips) {
      expect(latency!.range[0]).toBeLessThan(latency!.ms);
      expect(latency!.range[1]).toBeGreaterThan(latency!.ms);
      expect(layers.reduce((sum, layer) => sum + layer.cycles, 0)).toBe(latency!.cycles);
      expect(sources.length).toBeGreaterThanOrEqual(2);
    }
  });

  it('lists the layers for one chip and the sources of its numbers', async () => {
    const { value, file } = await fitted(small(), '--chip', 'ESP32-S3');
    expect(value.chips).toHaveLength(1);
    expect(value.chips[0]).toMatchObject({ chip: 'esp32s3', basis: 'measured', fits: true });
    expect(value.chips[0]!.layers.map(({ op }) => op)).toEqual([
      'FULLY_CONNECTED',
      'FULLY_CONNECTED',
      'SOFTMAX',
    ]);
    const { stdout } = await runCli(['model', 'fit', file, '--chip', 'esp32s3']);
    expect(stdout).toContain('https://github.com/espressif/esp-nn');
    expect(stdout).toMatch(/Latency +✓ \d+ µs; expected range/);
  });

  it('uses the project’s quantized model if no file is given', async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'aiot.yaml'), 'name: pump\n');
    const before = await runCli(['model', 'fit', '--project', folder]);
    expect(before.code).toBe(4);
    expect(before.stderr).toContain('the project has no quantized model yet');
    await mkdir(join(folder, 'build'));
    await writeFile(join(folder, 'build/model.int8.tflite'), writeTflite(small()));
    const after = await runCli(['model', 'fit', '--project', folder, '--json']);
    expect(after.json).toMatchObject({ file: join(folder, 'build/model.int8.tflite') });
    const push = `aiot model push --project ${folder}\n`;
    expect((await runCli(['model', 'fit', '--project', folder])).stdout).toContain(push);
    expect((await runCli(['model', 'fit', join(folder, 'build/model.int8.tflite')])).stdout).toContain(push);
    await rm(join(folder, 'aiot.yaml'));
    expect((await runCli(['model', 'fit', join(folder, 'build/model.int8.tflite')])).stdout).not.toContain(
      'push',
    );
  });

  it('exits with 6 and lists the limits that are exceeded', async () => {
    const { value, code, file } = await fitted(
      small(),
      '--chip',
      'rp2040',
      '--ram',
      '1KiB',
      '--latency',
      '0.001',
    );
    expect(code).toBe(6);
    expect(value).toMatchObject({ fits: false, error: { code: 'AIOT_GATE_FAILED', exit: 6 } });
    expect(value.chips[0]).toMatchObject({
      flash: { fits: true },
      ram: { fits: false },
      latency: { fits: false },
    });
    const people = await runCli(['model', 'fit', file, '--chip', 'rp2040', '--ram', '1KiB']);
    expect(people.code).toBe(6);
    expect(people.stdout).toMatch(/RAM +✗/);
    expect(people.stderr).toContain('the model does not fit RP2040: RAM: needs');
  });

  it.each([
    [
      'json',
      '[{"latencyMs": 0.2, "arenaBytes": 2000, "layers": [{"index": 1, "ms": 0.05}]}, {"latencyMs": 0.4}]',
    ],
    ['csv', 'latency_ms,arena_bytes,layer_1_ms\n0.2,2000,0.05\n0.4,2000,0.05\n'],
  ])('shows predicted next to measured values from %s', async (kind, text) => {
    const dir = await temporaryFolder();
    const measured = join(dir, `reports.${kind}`);
    await writeFile(measured, text);
    const { value, file } = await fitted(small(), '--chip', 'esp32', '--measured', measured);
    expect(value.measured?.reports).toBe(2);
    const [latency, arena, layer] = value.measured!.figures;
    expect(latency).toMatchObject({ what: 'latency, ms', predicted: value.chips[0]!.latency!.ms });
    expect(latency!.measured).toBeCloseTo(0.3, 12);
    expect(latency!.error).toBeCloseTo(latency!.predicted / 0.3 - 1, 12);
    expect(arena).toMatchObject({ what: 'arena, bytes', measured: 2000 });
    expect(layer).toMatchObject({ what: '1 FULLY_CONNECTED, ms', measured: 0.05 });
    const { stdout } = await runCli(['model', 'fit', file, '--chip', 'esp32', '--measured', measured]);
    expect(stdout).toMatch(/metric +predicted +measured +error/);
  });

  it.each([
    ['an unknown chip', ['--chip', 'esp33'], null, 'AIOT_USAGE', 2],
    ['an invalid size', ['--chip', 'esp32', '--ram', 'much'], null, 'AIOT_USAGE', 2],
    ['measurements without a chip', [], '{"latencyMs": 1}', 'AIOT_USAGE', 2],
    ['empty measurements', ['--chip', 'esp32'], '{}', 'AIOT_FILE_MALFORMED', 2],
    ['a negative latency', ['--chip', 'esp32'], '{"latencyMs": -1}', 'AIOT_FILE_MALFORMED', 2],
    ['an unknown column', ['--chip', 'esp32'], 'speed\n1\n', 'AIOT_FILE_MALFORMED', 2],
    ['an unknown layer', ['--chip', 'esp32'], 'layer_9_ms\n1\n', 'AIOT_FILE_MALFORMED', 2],
  ])('rejects %s', async (_name, flags, reports, code, exit) => {
    const measured = join(await temporaryFolder(), 'reports.txt');
    if (reports !== null) await writeFile(measured, reports);
    const more = reports === null ? [] : ['--measured', measured];
    const { json, code: got } = await fitted(small(), ...flags, ...more);
    expect(json).toMatchObject({ error: { code } });
    expect(got).toBe(exit);
  });
});

describe('aiot model fit of models that TFLite Micro rejects', () => {
  it.each([
    ['dyn', /TFLite Micro has no kernel for operator 1 \(FULLY_CONNECTED\): int8 weights/],
    ['f16', /TFLite Micro has no kernel for operator 0 \(DEQUANTIZE\): float16 weights/],
  ])('%s is rejected with the reason', async (name, reason) => {
    const result = await runCli(['model', 'fit', join(motorFolder, `${name}.tflite`), '--json']);
    expect(result.json).toMatchObject({ error: { code: 'AIOT_TFLITE_UNSUPPORTED' } });
    expect((result.json as { error: { message: string } }).error.message).toMatch(reason);
    expect(result.code).toBe(2);
  });
});
