import { existsSync, readFileSync, symlinkSync } from 'node:fs';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { gaussian, seededRandom } from '../../src/lib/core/numbers.js';
import { quantizeModes } from '../../src/lib/core/project-schema.js';
import type { Graph } from '../../src/lib/formats/tflite/graph.js';
import { writeMetadata } from '../../src/lib/formats/tflite/metadata.js';
import { importTflite, readTflite } from '../../src/lib/formats/tflite/read.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { type QuantizeResult, quantizeResultSchema } from '../../src/lib/model/quantize/result.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { inputSize, severalEnds } from '../support/architectures.js';
import { runCli } from '../support/cli.js';
import { FloatNetwork } from '../support/float-network.js';
import { frontEndGraphs } from '../support/front-end-graphs.js';
import { motorFile } from '../support/motor-files.js';
import { temporaryFolder } from './support.js';

/** A model with 6 inputs and three classes, and enough weights for dynamic range. */
function network(): Graph {
  const n = new FloatNetwork(seededRandom(5));
  const x = n.float([1, 6]);
  const y = n.dense(n.dense(n.dense(x, 40, 'relu'), 32, 'relu'), 3);
  return { ...n.graph(x, n.softmax(y)), signature: { inputs: ['sensors'], outputs: ['scores'] } };
}

/** Rows labeled with the float model's own predictions. */
function rowsCsv(graph: Graph, count: number, seed: number): string {
  const random = seededRandom(seed);
  const interpreter = createInterpreter(graph);
  const lines = Array.from({ length: count }, () => {
    const row = Float32Array.from({ length: 6 }, () => Math.fround(Number(gaussian(random).toFixed(4))));
    const scores = [...interpreter.invoke(row)];
    return `${[...row].map((value) => value.toFixed(4)).join(',')},${scores.indexOf(Math.max(...scores))}`;
  });
  return `a,b,c,d,e,f,label\n${lines.join('\n')}\n`;
}

let folder: string;
let float: string;
let data: string;
beforeAll(async () => {
  folder = await temporaryFolder();
  [float, data] = [join(folder, 'float.tflite'), join(folder, 'rows.csv')];
  const metadata = writeMetadata({ name: 'toy', description: 'with metadata' });
  await writeFile(float, writeTflite(network(), { metadata }));
  await writeFile(data, rowsCsv(network(), 400, 1));
});

async function quantize(...flags: string[]) {
  const out = join(folder, 'out.tflite');
  const ran = await runCli(['model', 'quantize', float, '--out', out, '--json', ...flags]);
  return { ...ran, out, result: ran.json as QuantizeResult };
}

describe('aiot model quantize FILE', () => {
  it.each(quantizeModes)('writes a %s file, and reports its size, error, and operators', async (mode) => {
    const { code, result, out } = await quantize('--data', data, '--mode', mode);
    expect(code).toBe(0);
    expect(quantizeResultSchema.parse(result)).toEqual(result);
    const bytes = readFileSync(out);
    expect(result).toMatchObject({
      mode,
      file: out,
      bytes: bytes.length,
      floatBytes: readFileSync(float).length,
    });
    expect(result.bytes).toBeLessThanOrEqual(result.floatBytes);
    expect(result.sqnrDb).toBeGreaterThan(
      { float32: 149, float16: 55, dynamic: 30, int8: 25, int16x8: 45 }[mode],
    );
    const graph = readTflite(bytes);
    expect(result.ops.map(({ op }) => op)).toEqual(graph.operators.map(({ op }) => op));
    const versions = { float32: 1, float16: 1, dynamic: 12, int8: 4, int16x8: 4 };
    expect(result.ops.find(({ op }) => op === 'FULLY_CONNECTED')?.version).toBe(versions[mode]);
    // TFLite Micro supports neither float16 nor dynamic range.
    expect(result.arenaBytes === null).toBe(mode === 'float16' || mode === 'dynamic');
    expect(result.layers[0]).toMatchObject({ op: 'input', type: result.io });
    expect(result.layers.at(-1)).toMatchObject({ op: 'SOFTMAX', sqnrDb: result.sqnrDb });
  });

  it('gives integer models float inputs and outputs on request, and int16 ones in int16x8', async () => {
    const ends = async (...flags: string[]) => {
      const { result, out } = await quantize('--data', data, ...flags);
      const { tensors, inputs, outputs } = readTflite(readFileSync(out));
      return [result.io, tensors[inputs[0]!]!.type, tensors[outputs[0]!]!.type];
    };
    expect(await ends('--mode', 'int8', '--io', 'float32')).toEqual(['float32', 'float32', 'float32']);
    expect(await ends('--mode', 'int16x8')).toEqual(['int16', 'int16', 'int16']);
    expect(await ends('--mode', 'int16x8', '--io', 'float32')).toEqual(['float32', 'float32', 'float32']);
  });

  it('keeps the input and output names of the signature, and the file’s metadata', async () => {
    const { out } = await quantize('--data', data);
    const { graph, metadata } = importTflite(readFileSync(out));
    expect(graph.signature).toEqual({ inputs: ['sensors'], outputs: ['scores'] });
    expect(Buffer.from(metadata!).toString('latin1')).toContain('with metadata');
  });

  describe('with several inputs and outputs', () => {
    const write = async (make: (typeof severalEnds)[keyof typeof severalEnds], columns?: number) => {
      const graph = make(seededRandom(2));
      const path = join(folder, 'ends.tflite');
      await writeFile(path, writeTflite(graph));
      const random = seededRandom(3);
      const width = columns ?? inputSize(graph);
      const lines = Array.from({ length: 60 }, (_, row) =>
        [...Array.from({ length: width }, () => gaussian(random).toFixed(3)), row % 2].join(','),
      );
      const rows = join(folder, 'ends.csv');
      const head = [...Array.from({ length: width }, (_, i) => `c${i}`), 'label'].join(',');
      await writeFile(rows, [head, ...lines].join('\n'));
      return { path, rows, graph };
    };

    it.each(['int8', 'int16x8'] as const)('divides the columns over the inputs in %s', async (mode) => {
      const { path, rows, graph } = await write(severalEnds.twoInputs);
      const out = join(folder, 'ends.out.tflite');
      const argv = ['model', 'quantize', path, '--data', rows, '--mode', mode, '--out', out, '--json'];
      const { code, json } = await runCli(argv);
      expect(code).toBe(0);
      const [first = 0] = graph.inputs.map((index) => graph.tensors[index]!.shape[1]!);
      const result = quantizeResultSchema.parse(json);
      expect(result.notes[0]).toMatch(
        new RegExp(
          `^the columns are divided over the inputs: \\S+ reads columns 1 to ${first}, \\S+ reads columns ${first + 1} to ${inputSize(graph)}$`,
        ),
      );
      expect([result.inputs.length, result.outputs.length]).toEqual([2, 1]);
      expect(result.sqnrDb).toBeGreaterThan(mode === 'int8' ? 20 : 45);
      for (const runtime of ['device', 'litert']) {
        const evaluated = await runCli([
          'model',
          'evaluate',
          out,
          '--data',
          rows,
          '--runtime',
          runtime,
          '--json',
        ]);
        expect(evaluated.code).toBe(0);
      }
    });

    it('reports the noise of the noisiest output, and writes C with a pointer for each output', async () => {
      const { path, rows, graph } = await write(severalEnds.twoHeads);
      const out = join(folder, 'ends-c');
      const argv = ['model', 'quantize', path, '--data', rows, '--emit', 'c', '--out', out, '--json'];
      const { code, json } = await runCli(argv);
      expect(code).toBe(0);
      const { layers, sqnrDb } = quantizeResultSchema.parse(json);
      const names = graph.outputs.map((index) => graph.tensors[index]!.name);
      const noise = layers.filter(({ tensor }) => names.includes(tensor)).map((layer) => layer.sqnrDb!);
      expect(noise).toHaveLength(2);
      expect(sqnrDb).toBe(Math.min(...noise));
      const header = readFileSync(join(out, 'model.h'), 'utf8');
      expect(header).toContain('void model_run(const int8_t *input, int8_t *output0, int8_t *output1);');
      expect(header).toContain('#define MODEL_OUTPUT1_COUNT 2\n');
      const golden = JSON.parse(readFileSync(join(out, 'golden.json'), 'utf8'));
      expect(golden.vectors[0].outputs.map(({ length }: number[]) => length)).toEqual([4, 2]);
    });

    it('lists the columns of each input if the file has other columns, and rejects labels for several outputs', async () => {
      const few = await write(severalEnds.twoInputs, 3);
      const wrong = await runCli(['model', 'quantize', few.path, '--data', few.rows]);
      expect(wrong.code).not.toBe(0);
      expect(wrong.stderr.replace(/\s+/g, ' ')).toMatch(
        /in order \(the columns are divided over the inputs: \S+ reads/,
      );
      const { path, rows } = await write(severalEnds.innerOutput);
      const labelled = await runCli(['model', 'quantize', path, '--data', rows, '--max-loss', '1']);
      expect(labelled.stderr).toContain('labels belong to one output, but this model has 3');
      const evaluated = await runCli(['model', 'evaluate', path, '--data', rows]);
      expect(evaluated.stderr).toContain('AIOT_TFLITE_UNSUPPORTED');
      expect(evaluated.stderr).toContain('--output-name t12');
    });
  });

  it.each([
    ['int16x8', 'int16', 'const int16_t *input, int16_t *output'],
    ['int8', 'float32', 'const float *input, float *output'],
    ['float32', 'float32', 'const float *input, float *output'],
    ['float16', 'float32', 'const float *input, float *output'],
  ])('writes C for %s with inputs and outputs of %s', async (mode, type, parameters) => {
    const out = join(folder, `${mode}-${type}-c`);
    const io = mode === 'int8' ? ['--io', 'float32'] : [];
    const argv = ['model', 'quantize', float, '--data', data, '--mode', mode, ...io, '--emit', 'c'];
    const { code, json } = await runCli([...argv, '--out', out, '--json']);
    expect(code).toBe(0);
    expect(quantizeResultSchema.parse(json)).toMatchObject({ mode, io: type });
    expect(readFileSync(join(out, 'model.h'), 'utf8')).toContain(`void model_run(${parameters});`);
    const golden = JSON.parse(readFileSync(join(out, 'golden.json'), 'utf8'));
    expect([golden.input.type, golden.output.type]).toEqual([type, type]);
    const interpreter = createInterpreter(
      readTflite(new Uint8Array(readFileSync(join(out, 'model.tflite')))),
    );
    for (const { input, output } of golden.vectors) {
      const given = type === 'int16' ? Int16Array.from(input) : Float32Array.from(input);
      expect([...interpreter.invoke(given)]).toEqual(output);
    }
  });

  it('needs no rows if nothing is calibrated, and then measures nothing', async () => {
    const { code, result } = await quantize('--mode', 'float16');
    expect(code).toBe(0);
    expect(result).toMatchObject({ sqnrDb: null, windows: 0, loss: null });
  });

  it('reads float16 weights, folding DEQUANTIZE operators into constants', async () => {
    const { out } = await quantize('--mode', 'float16');
    await writeFile(join(folder, 'half.tflite'), readFileSync(out));
    const to = join(folder, 'from-half.tflite');
    const argv = ['model', 'quantize', join(folder, 'half.tflite'), '--data', data, '--out', to, '--json'];
    const { code, json } = await runCli(argv);
    expect(code).toBe(0);
    expect((json as QuantizeResult).ops.map(({ op }) => op)).not.toContain('DEQUANTIZE');
    expect((json as QuantizeResult).sqnrDb).toBeGreaterThan(25);
  });

  it('measures the loss on labeled rows, with an interval', async () => {
    const { result } = await quantize('--data', data, '--label', 'label', '--max-loss', '3');
    expect(result.loss).toMatchObject({ rows: 400, float: 1, limit: 3, passed: true });
    const [low, high] = result.loss!.interval;
    expect(low).toBeLessThanOrEqual(result.loss!.points);
    expect(high).toBeGreaterThanOrEqual(result.loss!.points);
    expect(result.loss!.points).toBeCloseTo(100 * (result.loss!.float - result.loss!.quantized), 3);
    expect(result.steps.at(-1)).toMatchObject({ points: result.loss!.points });
  });

  it('measures on the rows of --evaluate, or else reports that calibration rows were used', async () => {
    const same = await quantize('--data', data, '--label', 'label');
    expect(same.result.loss).toMatchObject({ rows: 400, calibrated: true });
    const other = join(folder, 'other.csv');
    await writeFile(other, rowsCsv(network(), 60, 2));
    const apart = await quantize('--data', data, '--evaluate', other, '--max-loss', '5');
    expect(apart.result).toMatchObject({ windows: 400, loss: { rows: 60, calibrated: false, float: 1 } });
  });

  it('measures classes in --classes order, and rejects a limit if the order hardly fits', async () => {
    const names = ['zebra', 'yak', 'ant'];
    const lines = rowsCsv(network(), 200, 3).trim().split('\n');
    const named = lines.map((line, i) => (i === 0 ? line : line.replace(/\d$/, (c) => names[Number(c)]!)));
    const file = join(folder, 'named.csv');
    await writeFile(file, `${named.join('\n')}\n`);
    const limit = ['--data', file, '--max-loss', '3'];
    const right = await quantize(...limit, '--classes', names.join(','));
    expect(right.result.loss).toMatchObject({ float: 1, passed: true });
    const sorted = await quantize(...limit);
    expect(sorted.code).toBe(2);
    expect(sorted.json).toMatchObject({
      error: { code: 'AIOT_LABELS_UNFIT', next: expect.stringContaining(`--classes ${names.join(',')}`) },
    });
    const told = await quantize('--data', file, '--label', 'label');
    expect(told.code).toBe(0);
    expect(told.result.notes).toContainEqual(expect.stringContaining(`--classes ${names.join(',')}?`));
    const project = await runCli(['model', 'quantize', '--classes', 'a,b', '--json']);
    expect(project.json).toMatchObject({ error: { code: 'AIOT_USAGE' } });
  });

  it('writes C++ for TFLite Micro next to the file', async () => {
    const { result, out } = await quantize('--data', data, '--emit', 'tflm');
    const stem = out.replace(/\.tflite$/, '');
    expect(result.emitted).toEqual([`${stem}.h`, `${stem}.cc`]);
    expect(readFileSync(`${stem}.h`, 'utf8')).toContain('namespace out {');
    expect(readFileSync(`${stem}.cc`, 'utf8')).toContain('#include "out.h"');
  });

  it('writes runtime-free C to a folder, with golden vectors from the rows', async () => {
    const out = join(folder, 'chip');
    const argv = [
      'model',
      'quantize',
      float,
      '--data',
      data,
      '--emit',
      'c',
      '--out',
      out,
      '--classes',
      'x,y,z',
    ];
    const { json } = await runCli([...argv, '--json']);
    const names = ['model.c', 'model.h', 'golden.json'].map((name) => join(out, name));
    expect(json).toMatchObject({ file: join(out, 'model.tflite'), emitted: names });
    const [source, header, golden] = names.map((name) => readFileSync(name, 'utf8')) as [
      string,
      string,
      string,
    ];
    expect(source).toContain('void model_run(const int8_t *input, int8_t *output) {');
    expect(header).toContain('#define MODEL_INPUT_COUNT 6\n');
    expect(header).toContain('#define MODEL_CLASS_COUNT 3\n');
    const { vectors, input, digest } = JSON.parse(golden);
    const graph = readTflite(readFileSync(join(out, 'model.tflite')));
    expect(input).toMatchObject({ count: 6, scale: graph.tensors[graph.inputs[0]!]!.quantization!.scale[0] });
    expect(header).toContain(`#define MODEL_DIGEST "${digest}"`);
    expect(vectors.length).toBe(27);
    const interpreter = createInterpreter(graph);
    for (const vector of vectors)
      expect([...interpreter.invoke(Int8Array.from(vector.input))]).toEqual(vector.output);
  });

  it('fine-tunes on rows that are not used to measure the loss', async () => {
    const { result } = await quantize('--data', data, '--label', 'label', '--finetune', '3');
    expect(result.steps).toMatchObject([{ did: 'fine-tuned for 3 epochs' }]);
    expect(result.loss?.rows).toBe(120);
    const refused = await quantize('--data', data, '--mode', 'float16', '--finetune', '3');
    expect(refused.json).toMatchObject({ error: { code: 'AIOT_QUANTIZE_UNFIT' } });
  });

  it('prints the tensors, size, operators, and loss', async () => {
    const out = join(folder, 'people.tflite');
    const { stdout, code } = await runCli([
      'model',
      'quantize',
      float,
      '--data',
      data,
      '--label',
      'label',
      '--out',
      out,
    ]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^operator +tensor +type +range by +scale +zero +SQNR dB\ninput /);
    expect(stdout).toMatch(/\nModel +float: [\d.]+ KiB float → [\d.]+ KiB int8 \(\d+ %\)\n/);
    expect(stdout).toContain('3 × FULLY_CONNECTED v4, SOFTMAX v2');
    expect(stdout).toMatch(/\nLoss +-?[\d.]+ points \(95 % interval -?[\d.]+ to -?[\d.]+\)\n/);
    expect(stdout).toContain(`aiot model evaluate ${out} --data ${data} --label label`);
    expect(stdout).toContain(`aiot model fit ${out}`);
  });
});

describe('aiot model quantize FILE with invalid input', () => {
  const cases: [string, () => Promise<string[]> | string[], string, number][] = [
    ['rows with the wrong number of columns', () => table('a,b,label\n1,2,0\n'), 'AIOT_DATA_COLUMNS', 2],
    ['a cell that is not a number', () => table('a,b,c,d,e,f\n1,2,3,4,5,NaN\n'), 'AIOT_FILE_MALFORMED', 2],
    ['no rows', () => table('a,b,c,d,e,f\n'), 'AIOT_CSV_EMPTY', 2],
    ['int8 without rows', () => ['--mode', 'int8'], 'AIOT_USAGE', 2],
    ['a limit without rows', () => ['--mode', 'float16', '--max-loss', '1'], 'AIOT_USAGE', 2],
    [
      'a limit without labels',
      async () => [...(await table('a,b,c,d,e,f\n1,2,3,4,5,6\n')), '--max-loss', '1'],
      'AIOT_DATA_COLUMNS',
      2,
    ],
    [
      'labels that match no class',
      async () => [...(await table('a,b,c,d,e,f,label\n1,2,3,4,5,6,9\n')), '--max-loss', '1'],
      'AIOT_LABELS_UNFIT',
      2,
    ],
    [
      'integer inputs and outputs in a float mode',
      () => ['--data', data, '--mode', 'float16', '--io', 'int8'],
      'AIOT_QUANTIZE_UNFIT',
      2,
    ],
    [
      'C++ for TFLite Micro in a mode it does not run',
      () => ['--data', data, '--mode', 'dynamic', '--emit', 'tflm'],
      'AIOT_QUANTIZE_UNFIT',
      2,
    ],
    [
      'C for a mode with float layers',
      () => ['--data', data, '--mode', 'dynamic', '--emit', 'c'],
      'AIOT_QUANTIZE_UNFIT',
      2,
    ],
    ['C written to a file', () => ['--data', data, '--emit', 'c'], 'AIOT_USAGE', 2],
    ['an unknown source language', () => ['--data', data, '--emit', 'rust'], 'AIOT_USAGE', 2],
    ['an unknown mode', () => ['--data', data, '--mode', 'int4'], 'AIOT_USAGE', 2],
    ['a limit that is not a number', () => ['--data', data, '--max-loss', 'half'], 'AIOT_USAGE', 2],
    ['a missing file', () => ['--data', join(folder, 'none.csv')], 'AIOT_FILE_NOT_FOUND', 4],
  ];
  async function table(text: string): Promise<string[]> {
    const file = join(folder, 'wrong.csv');
    await writeFile(file, text);
    return ['--data', file];
  }

  it.each(cases)('rejects %s and writes nothing', async (_name, flags, code, exit) => {
    const out = join(folder, 'never.tflite');
    const before = await readdir(folder);
    const given = await flags();
    const ran = await runCli(['model', 'quantize', float, '--out', out, '--json', ...given]);
    expect((ran.json as { error: object }).error).toMatchObject({ code, next: expect.any(String) });
    expect(ran.code).toBe(exit);
    expect(existsSync(out)).toBe(false);
    expect((await readdir(folder)).filter((name) => name !== 'wrong.csv')).toEqual(
      before.filter((name) => name !== 'wrong.csv'),
    );
  });

  it.each(['float.tflite', 'rows.csv', 'link.tflite'])('refuses to overwrite its input %s', async (name) => {
    if (!existsSync(join(folder, 'link.tflite'))) symlinkSync(float, join(folder, 'link.tflite'));
    const before = readFileSync(join(folder, name));
    const argv = ['model', 'quantize', float, '--data', data, '--out', join(folder, name), '--json'];
    const { json, code } = await runCli(argv);
    expect(code).toBe(2);
    expect(json).toMatchObject({ error: { code: 'AIOT_FILE_IS_INPUT' } });
    expect(readFileSync(join(folder, name)).equals(before)).toBe(true);
  });

  it('rejects a model with an output without elements', async () => {
    const graph = network();
    const { tensors, outputs } = graph;
    const none = { ...tensors[outputs[0]!]!, name: 'none', shape: [0, 3], data: new Float32Array(0) };
    const file = join(folder, 'empty.tflite');
    const { signature: _, ...unsigned } = graph;
    const bytes = writeTflite({
      ...unsigned,
      tensors: [...tensors, none],
      outputs: [...outputs, tensors.length],
    });
    await writeFile(file, bytes);
    const { code, json } = await runCli(['model', 'quantize', file, '--data', data, '--json']);
    expect(code).not.toBe(0);
    expect(json).toMatchObject({
      error: {
        code: 'AIOT_TFLITE_UNSUPPORTED',
        message: expect.stringContaining('the output none has no elements'),
        next: expect.stringContaining('--output'),
      },
    });
  });

  it('rejects a quantized model, and a loss limit for a regression model', async () => {
    const { out } = await quantize('--data', data);
    const twice = await runCli([
      'model',
      'quantize',
      out,
      '--data',
      data,
      '--out',
      join(folder, 'x.tflite'),
      '--json',
    ]);
    expect(twice.json).toMatchObject({
      error: { code: 'AIOT_QUANTIZE_UNFIT', message: expect.stringContaining('already quantized') },
    });
    const n = new FloatNetwork(seededRandom(1));
    const x = n.float([1, 6]);
    const value = join(folder, 'value.tflite');
    await writeFile(value, writeTflite(n.graph(x, n.dense(x, 1))));
    const argv = ['model', 'quantize', value, '--data', data, '--out', join(folder, 'x.tflite'), '--json'];
    expect((await runCli([...argv, '--max-loss', '1'])).json).toMatchObject({
      error: { code: 'AIOT_QUANTIZE_UNFIT', message: expect.stringContaining('outputs a value') },
    });
  });
});

describe('aiot model quantize --emit on a model that is already quantized', () => {
  const written = async (name: string) => {
    const file = join(await temporaryFolder(), `${name}.tflite`);
    await writeFile(file, motorFile(`${name}.tflite`));
    return file;
  };

  it.each([
    ['int8', 'int8', 'const int8_t *input, int8_t *output'],
    ['i16x8', 'int16x8', 'const int16_t *input, int16_t *output'],
  ])('exports %s unchanged as C', async (name, mode, parameters) => {
    const file = await written(name);
    const out = file.replace('.tflite', '-c');
    const { code, json } = await runCli(['model', 'quantize', file, '--emit', 'c', '--out', out, '--json']);
    expect(code).toBe(0);
    const result = quantizeResultSchema.parse(json);
    expect(result).toMatchObject({ mode, windows: 0, sqnrDb: null });
    expect(result.notes).toContain('the model is already quantized, so it was exported unchanged');
    expect(readFileSync(join(out, 'model.h'), 'utf8')).toContain(`void model_run(${parameters});`);
    const golden = JSON.parse(readFileSync(join(out, 'golden.json'), 'utf8'));
    const interpreter = createInterpreter(readTflite(motorFile(`${name}.tflite`)));
    const type = mode === 'int8' ? Int8Array : Int16Array;
    for (const { input, output } of golden.vectors)
      expect([...interpreter.invoke(type.from(input))]).toEqual(output);
  });

  it('rejects options that would change it', async () => {
    const file = await written('int8');
    const argv = ['model', 'quantize', file, '--emit', 'c', '--mode', 'int16x8', '--io', 'float32'];
    const { code, stderr } = await runCli(argv);
    expect(code).toBe(2);
    expect(stderr).toContain('--mode int16x8 and --io float32 does not apply');
  });
});

describe('aiot model quantize --emit c on a model with an audio front end', () => {
  const fileOf = async () => {
    const file = join(await temporaryFolder(), 'sound.tflite');
    const bytes = writeTflite(frontEndGraphs.whole!(seededRandom(4)));
    await writeFile(file, bytes);
    return { file, bytes };
  };

  it('exports the model unchanged', async () => {
    const { file, bytes } = await fileOf();
    const out = file.replace('.tflite', '-c');
    const { code, json } = await runCli(['model', 'quantize', file, '--emit', 'c', '--out', out, '--json']);
    expect(code).toBe(0);
    const result = quantizeResultSchema.parse(json);
    expect(result.notes).toContain(
      'the audio front end is already quantized, so the model was exported unchanged',
    );
    const written = readTflite(new Uint8Array(readFileSync(join(out, 'model.tflite'))));
    expect(written.operators).toEqual(readTflite(bytes).operators);
    expect(readFileSync(join(out, 'model.c'), 'utf8')).toContain('SIGNAL_RFFT');
  });

  it('rejects options that need rows', async () => {
    const { file } = await fileOf();
    const { code, stderr } = await runCli(['model', 'quantize', file, '--emit', 'c', '--data', 'rows.csv']);
    expect(code).toBe(2);
    expect(stderr).toContain('--data does not apply');
  });
});
