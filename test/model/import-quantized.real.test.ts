import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { seededRandom } from '../../src/lib/core/numbers.js';
import type { Graph, Quantization } from '../../src/lib/formats/tflite/graph.js';
import { importTflite, readTflite } from '../../src/lib/formats/tflite/read.js';
import { bundleProject } from '../../src/lib/model/bundle/bundle-project.js';
import { encodeInput, valuesOf } from '../../src/lib/model/bundle/ends.js';
import { unpackBundle } from '../../src/lib/model/bundle/pack.js';
import { openModelProject } from '../../src/lib/model/material.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { runCli } from '../support/cli.js';
import { runEmittedC } from '../support/emitted-c.js';
import { motorFile, motorFolder } from '../support/motor-files.js';
import { describeReal } from '../support/real.js';
import { runInPython } from '../support/tflite.js';
import { spectra, wakeWords } from '../support/wake-words.js';

const bands = Array.from({ length: 40 }, (_, band) => `b${band}`);

/** A stream of spectra, 100 a second, of which the model takes three at a time. */
const yaml = `name: words
stream: { topic: words, fields: { ${bands.map((band) => `${band}: { unit: '' }`).join(', ')} } }
signal: { rate: 100, window: 3, stride: 3, features: raw }
model: { output: probability, labels: { silence: [silence], word: [word] }, split: recording }
`;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'aiot-quantized-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function quantizationOf({ tensors }: Graph, [index = -1]: readonly number[]): Quantization {
  return tensors[index]!.quantization!;
}

/** Rows of 40 bands, as the real values that an int8 input stands for. */
function csvOf(values: Int8Array, { scale, zeroPoint }: Quantization): string {
  const real = Array.from(values, (q) => (q - zeroPoint[0]!) * scale[0]!);
  const rows = Array.from({ length: values.length / 40 }, (_, row) =>
    real.slice(row * 40, row * 40 + 40).join(),
  );
  return `${bands.join()}\n${rows.join('\n')}\n`;
}

describeReal('tflm', 'files of TensorFlow’s converter in a project, compared with TFLite Micro', () => {
  it.each([
    ['int8', Int8Array],
    ['i16x8', Int16Array],
  ] as const)('have the same outputs: %s', { timeout: 120_000 }, async (name, Values) => {
    const project = join(folder, name);
    mkdirSync(project);
    const names = ['current', 'temperature', 'vibration', 'sound'];
    const settings = `name: motor
stream: { topic: motor, fields: { ${names.map((field) => `${field}: { unit: '' }`).join(', ')} } }
signal: { rate: 1, window: 1, stride: 1, features: raw }
model: { output: probability, labels: { normal: ['0'], anomaly: ['1'] } }
`;
    writeFileSync(join(project, 'aiot.yaml'), settings);
    const { mean, std } = JSON.parse(motorFile('weights.json').toString()) as Record<string, number[]>;
    const data = join(motorFolder, 'test.csv');
    const run = async (...args: string[]) => {
      const { code, stderr } = await runCli([...args, '--project', project, '--data', data, '--json']);
      expect(code, `${args.join(' ')}: ${stderr}`).toBe(0);
    };
    const stated = ['--mean', mean!.join(), '--deviation', std!.join()];
    await run('model', 'import', join(motorFolder, `${name}.tflite`), ...stated);
    await run('model', 'quantize');
    await run('model', 'evaluate');
    const { bytes } = await bundleProject({ project: await openModelProject(project, data), data });
    const { model, info } = unpackBundle(bytes);
    const rows = motorFile('test.csv').toString().trim().split('\n').slice(1);
    const inputs = rows.map((row) => {
      const features = Float32Array.from(row.split(','), Number).subarray(0, 4);
      return encodeInput(features, info.standardization, info.input, valuesOf(info.input, 4));
    });
    const interpreter = createInterpreter(readTflite(model));
    const ours = inputs.map((input) => interpreter.invoke(input)[0]!);
    const input = Values.from(inputs.flatMap((values) => Array.from(values)));
    const jobs = [
      { graph: motorFile(`${name}.tflite`), input },
      { graph: model, input },
    ];
    for (const { output } of runInPython('tflm', jobs)) {
      const said = new Values(Uint8Array.from(new Uint8Array(output.buffer, output.byteOffset)).buffer);
      expect(Array.from(said)).toEqual(ours);
    }
    expect(new Set(ours).size).toBeGreaterThan(50);
  });
});

describeReal('wakeword', 'wake-word models, which are quantized and have state', () => {
  describeReal('tflm', 'in projects, compared with TFLite Micro', () => {
    it('produce the same outputs in a loop, from their bundles', { timeout: 120_000 }, async () => {
      const models = wakeWords();
      expect(models).toHaveLength(4);
      const seen = new Set<number>();
      for (const [at, { name, file }] of models.entries()) {
        const project = join(folder, String(at));
        mkdirSync(join(project, 'data'), { recursive: true });
        writeFileSync(join(project, 'aiot.yaml'), yaml);
        const own = join(project, name);
        writeFileSync(own, file);
        const { graph } = importTflite(file);
        const scales = quantizationOf(graph, graph.inputs);
        for (const [take, label] of ['silence', 'word', 'silence', 'word', 'silence', 'word'].entries()) {
          const values = spectra(seededRandom(100 + take)).subarray(0, 120 * 40);
          writeFileSync(join(project, 'data', `${label}${take}.csv`), csvOf(values, scales));
        }
        const run = async (...args: string[]) => {
          const { code, json, stderr } = await runCli([...args, '--project', project, '--json']);
          expect(code, `${name}: ${args.join(' ')}: ${stderr}`).toBe(0);
          return json;
        };
        expect(await run('model', 'import', own)).toMatchObject({ precision: 'int8' });
        expect(await run('model', 'quantize')).toMatchObject({ mode: 'int8' });
        await run('model', 'evaluate');
        const opened = await openModelProject(project, undefined);
        const bundle = unpackBundle((await bundleProject({ project: opened })).bytes);

        const steps = 200;
        const heard = spectra(seededRandom(7)).subarray(0, 120 * steps);
        const live = join(project, 'live.csv');
        writeFileSync(live, csvOf(heard, scales));
        const sent = join(project, 'sent.jsonl');
        await run(
          ...['loop', 'run', '--model', join(project, 'build', 'model.aiot'), '--vote', 'none'],
          ...['--send', 'always', '--sensor', `file:${live}?speed=max&rate=100`, '--out', `file:${sent}`],
        );
        const probabilities = readFileSync(sent, 'utf8')
          .trim()
          .split('\n')
          .map((line) => (JSON.parse(line) as { payload: { value: number } }).payload.value);
        const { scale } = bundle.info.output;
        // The output in the original file is uint8.
        const [inFile, inBundle] = runInPython('tflm', [
          { graph: file, input: heard, uint8: true },
          { graph: bundle.model, input: heard },
        ]);
        const ours = probabilities.map((value) => Math.round(value / scale));
        expect(ours).toEqual(Array.from(inFile!.output, (q) => q & 255));
        expect(Array.from(inBundle!.output, (q) => q + 128)).toEqual(ours);
        for (const value of ours) seen.add(value);
      }
      expect(seen.size).toBeGreaterThan(10);
    });

    describeReal('cc', 'as generated C', () => {
      it('produces the same outputs as TFLite Micro', { timeout: 120_000 }, async () => {
        const jobs = Array.from({ length: 4 }, (_, at) => {
          const graph = readTflite(readFileSync(join(folder, String(at), 'build', 'model.int8.tflite')));
          return { graph, input: spectra(seededRandom(9)) };
        });
        const c = await runEmittedC(jobs);
        const tflm = runInPython('tflm', jobs);
        for (const [at, output] of c.entries())
          expect(Array.from(output), String(at)).toEqual(Array.from(tflm[at]!.output));
        expect(jobs.every(({ graph }) => graph.tensors.some((tensor) => tensor.variable ?? false))).toBe(
          true,
        );
      });
    });
  });
});
