import { execFile, execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { overrideProject } from '../../src/lib/core/project.js';
import { forestIn } from '../../src/lib/formats/tflite/forest.js';
import type { Graph } from '../../src/lib/formats/tflite/graph.js';
import { readTflite } from '../../src/lib/formats/tflite/read.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { emitted } from '../../src/lib/model/emit/emit.js';
import { metricsOf } from '../../src/lib/model/evaluate/metrics.js';
import { openMaterial, openModelProject } from '../../src/lib/model/material.js';
import { divide } from '../../src/lib/model/train/examples/divide.js';
import { examplesOfPart, lessonsOf } from '../../src/lib/model/train/examples/parts.js';
import type { Answers } from '../../src/lib/model/train/fit/loss.js';
import { trainerOf } from '../../src/lib/model/train/learn-forest.js';
import { planTraining } from '../../src/lib/model/train/plan.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { root, runCli } from '../support/cli.js';
import { promised } from '../support/emitted-c.js';
import { hardForest } from '../support/hard-forest.js';
import { expectRecorded } from '../support/judged.js';
import { describeReal, python } from '../support/real.js';

const folder = mkdtempSync(join(tmpdir(), 'aiot-forest-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const script = join(root, 'test/support/python/forests.py');
/** Takes minutes on a busy machine, so the test's process may not wait for it without answering vitest. */
async function ask(environment: 'onnx' | 'sklearn', args: string[], input = ''): Promise<unknown> {
  // Threads of OpenMP that wait actively for each other take many times as long if there are more of them than free processors.
  const env = { ...process.env, OMP_NUM_THREADS: '1' };
  const asked = promisify(execFile)(python(environment), [script, ...args], { env, maxBuffer: 2 ** 28 });
  asked.child.stdin?.end(input);
  return JSON.parse((await asked).stdout);
}

/** scikit-learn's table as a CSV file. */
function tableOf(name: string): string {
  const file = join(folder, `${name}.csv`);
  const script = join(root, 'test/support/python/small_tables.py');
  writeFileSync(file, execFileSync(python('sklearn'), [script, 'rows', name], { maxBuffer: 2 ** 26 }));
  return file;
}

/** Trains on a split of a table with each seed in turn, and returns the predictions for its test rows. */
async function onSplit(
  file: string,
  split: number,
  {
    forest = {},
    output = 'classes',
    seeds = 1,
  }: { forest?: object; output?: 'classes' | 'value'; seeds?: number },
) {
  const project = overrideProject(await openModelProject(folder, file), {
    model: { kind: 'forest', output },
    train: { seed: split },
  });
  const { train: configured } = project.config.model;
  // scikit-learn's default.
  const common = { ...configured, classWeights: 'none' as const };
  const material = await openMaterial(project, { data: file });
  const plan = planTraining(project, material);
  const division = divide(project, material, plan);
  const test = examplesOfPart(material, division, 'test');
  const answers: Answers[] = [];
  for (let seed = 0; seed < seeds; seed++) {
    const train = { ...common, seed, forest: { ...common.forest, ...forest } };
    const learned = await trainerOf(train, 'forest')(lessonsOf(material, division, undefined), {
      ...{ plan, train, backend: 'auto', description: '', folder, refit: true },
    });
    answers.push(learned.answers({ ...test, inputs: test.inputs.slice() }));
    learned.dispose();
  }
  return { parts: [...division.parts!], test, answers, classes: plan.classes.names.length };
}

const mean = (all: number[]) => all.reduce((a, b) => a + b, 0) / all.length;

/** The mean lead over the splits, and twice its standard error. */
function leadOf(ours: number[], theirs: number[]) {
  const leads = ours.map((own, i) => own - theirs[i]!);
  const lead = mean(leads);
  const variance = leads.reduce((sum, each) => sum + (each - lead) ** 2, 0) / (leads.length - 1);
  return { lead, noise: 2 * Math.sqrt(variance / leads.length) };
}

describeReal('sklearn', 'a forest with default settings', () => {
  it.each(['wine', 'iris', 'breast_cancer'])(
    'is as accurate on unseen rows of %s as scikit-learn’s RandomForestClassifier',
    { timeout: 600_000 },
    async (name) => {
      const file = tableOf(name);
      const ours: number[] = [];
      const parts: string[][] = [];
      for (let split = 0; split < 8; split++) {
        const { test, answers, classes, parts: own } = await onSplit(file, split, { seeds: 5 });
        ours.push(mean(answers.map((found) => metricsOf(test.classes, found.classes, classes).accuracy)));
        parts.push(own);
      }
      const theirs = ((await ask('sklearn', ['scores', name], JSON.stringify(parts))) as number[][]).map(
        mean,
      );
      // Both forests are random, so the mean lead over the splits is compared with twice its standard error.
      const { lead, noise } = leadOf(ours, theirs);
      const seen = `${name}: ${mean(ours).toFixed(4)}, scikit-learn ${mean(theirs).toFixed(4)}, noise ${noise.toFixed(4)}`;
      expect(lead, seen).toBeGreaterThanOrEqual(-noise - 1e-9);
    },
  );
});

describeReal('sklearn', 'boosting with default settings', () => {
  interface Theirs {
    exact: number;
    /** HistGradientBoosting with the same settings, and with its own defaults. */
    histogram: number;
    histogramDefaults: number;
    predicted: number[];
  }

  it.each(['wine', 'iris', 'breast_cancer'])(
    'predicts unseen rows of %s as scikit-learn’s GradientBoostingClassifier does',
    { timeout: 600_000 },
    async (name) => {
      const file = tableOf(name);
      const ours: { accuracy: number; predicted: number[] }[] = [];
      const parts: string[][] = [];
      for (let split = 0; split < 8; split++) {
        const {
          test,
          answers,
          classes,
          parts: own,
        } = await onSplit(file, split, { forest: { boosting: true } });
        const predicted = answers[0]!.classes;
        ours.push({
          accuracy: metricsOf(test.classes, predicted, classes).accuracy,
          predicted: [...predicted],
        });
        parts.push(own);
      }
      const theirs = (await ask('sklearn', ['boosting', name], JSON.stringify(parts))) as Theirs[];
      const own = ours.map(({ accuracy }) => accuracy);
      const exact = leadOf(
        own,
        theirs.map((each) => each.exact),
      );
      const histogram = leadOf(
        own,
        theirs.map((each) => each.histogram),
      );
      const same = mean(
        ours.flatMap(({ predicted }, i) =>
          predicted.map((c, row) => (c === theirs[i]!.predicted[row] ? 1 : 0)),
        ),
      );
      const seen = `${name}: ${mean(own).toFixed(4)}, GradientBoosting ${mean(theirs.map((t) => t.exact)).toFixed(4)} (noise ${exact.noise.toFixed(4)}), HistGradientBoosting ${mean(theirs.map((t) => t.histogram)).toFixed(4)} (${mean(theirs.map((t) => t.histogramDefaults)).toFixed(4)} with its defaults), same class ${same.toFixed(4)}`;
      expect(exact.lead, seen).toBeGreaterThanOrEqual(-exact.noise - 1e-9);
      // It also chooses splits by second derivatives, and is better on the wine table than scikit-learn's own exact
      // algorithm.
      expect(histogram.lead, seen).toBeGreaterThan(-0.04);
      // scikit-learn chooses randomly between splits of equal gain.
      expect(same, seen).toBeGreaterThan(0.95);
    },
  );

  it('predicts unseen rows as scikit-learn’s GradientBoostingRegressor does', {
    timeout: 600_000,
  }, async () => {
    const file = tableOf('diabetes');
    const ours: number[] = [];
    const parts: string[][] = [];
    for (let split = 0; split < 8; split++) {
      const {
        test,
        answers,
        parts: own,
      } = await onSplit(file, split, {
        ...{ forest: { boosting: true }, output: 'value' },
      });
      const errors = [...answers[0]!.values!].map((value, row) => (value - test.values![row]!) ** 2);
      ours.push(Math.sqrt(mean(errors)));
      parts.push(own);
    }
    const theirs = (await ask('sklearn', ['boosting', 'diabetes'], JSON.stringify(parts))) as Theirs[];
    const [exact, histogram] = [mean(theirs.map((t) => t.exact)), mean(theirs.map((t) => t.histogram))];
    const seen = `diabetes, RMSE: ${mean(ours).toFixed(3)}, GradientBoosting ${exact.toFixed(3)}, HistGradientBoosting ${histogram.toFixed(3)} (${mean(theirs.map((t) => t.histogramDefaults)).toFixed(3)} with its defaults)`;
    expect(mean(ours) / exact, seen).toBeLessThan(1.01);
    expect(mean(ours) / exact, seen).toBeGreaterThan(0.99);
    expect(mean(ours) / histogram, seen).toBeLessThan(1.02);
  });
});

describeReal('onnx', 'tree models from ONNX', () => {
  let names: string[] = [];
  const models = join(folder, 'onnx');
  beforeAll(async () => {
    names = (await ask('onnx', ['onnx', models])) as string[];
  }, 600_000);

  interface Told {
    rows: number[][];
    outputs: number[][];
    classes: number[] | null;
  }

  it('match ONNX Runtime’s outputs and classes', { timeout: 300_000 }, async () => {
    expect(names.length).toBe(69);
    for (const name of names) {
      const out = join(models, `${name}.tflite`);
      const imported = await runCli([
        'model',
        'import',
        join(models, `${name}.onnx`),
        '--out',
        out,
        '--json',
      ]);
      if (name.endsWith('-second')) {
        expect(imported).toMatchObject({ code: 2, json: { error: { code: 'AIOT_LAYER_UNSUPPORTED' } } });
        continue;
      }
      expect(imported.code, `${name}: ${imported.stderr}`).toBe(0);
      expect((imported.json as { ops: string[] }).ops, name).toContain('FOREST');
      const { rows, outputs, classes } = JSON.parse(
        readFileSync(join(models, `${name}.json`), 'utf8'),
      ) as Told;
      const interpreter = createInterpreter(readTflite(readFileSync(out)));
      rows.forEach((row, at) => {
        const got = [...interpreter.invoke(Float32Array.from(row))];
        const expected = outputs[at]!;
        expect(got.length, name).toBe(expected.length);
        const size = Math.max(1, ...expected.map(Math.abs));
        const off = Math.max(...got.map((value, o) => Math.abs(value - expected[o]!))) / size;
        expect(off, `${name}, row ${at}: ${got}, expected ${expected}`).toBeLessThan(1e-5);
        if (classes === null) return;
        const [first, second] = [...expected].sort((a, b) => b - a);
        // If the scores tie, the class depends on how ONNX Runtime rounds its sums.
        if (first! - second! > 2e-6)
          expect(got.indexOf(Math.max(...got)), `${name}, row ${at}`).toBe(classes[at]);
      });
    }
    await expectRecorded('float32.ONNX-Runtime-near.trees', ['FOREST']);
  });

  describeReal('cc', 'as C', () => {
    it('produce the same sums bit for bit, and the same classes', { timeout: 300_000 }, async () => {
      for (const name of ['forest', 'forest-two', 'boosting', 'boosting-two', 'forest-regressor', 'tree']) {
        const out = join(models, `${name}-c`);
        const quantized = await runCli([
          ...['model', 'quantize', join(models, `${name}.tflite`), '--emit', 'c', '--out', out, '--json'],
        ]);
        expect(quantized.code, `${name}: ${quantized.stderr}`).toBe(0);
        const { rows } = JSON.parse(readFileSync(join(models, `${name}.json`), 'utf8')) as Told;
        const graph = readTflite(readFileSync(join(models, `${name}.tflite`)));
        expectSame(graph, runInC(out, graph, rows), rows, name);
      }
      await expectRecorded('c.interpreter.trees', ['FOREST']);
    });
  });
});

interface FromC {
  /** [rows × outputs] */
  sums: Int32Array;
  /** The class of each row; null if the model predicts a value. */
  classes: number[] | null;
}

/** Compiles the emitted C code, and returns the sums and classes that it computes for these rows. */
function runInC(out: string, graph: Graph, rows: ArrayLike<number>[], flags: string[] = ['-O2']): FromC {
  const { inputs, outputs } = forestIn(graph, graph.operators.find(({ op }) => op === 'FOREST')!);
  const decides = readFileSync(join(out, 'model.h'), 'utf8').includes('int model_class(');
  writeFileSync(
    join(out, 'main.c'),
    `#include "model.h"
#include <stdio.h>
int main(void) {
  float input[${inputs}];
  int32_t sums[${outputs}];
  while (fread(input, sizeof input, 1, stdin) == 1) {
    model_run(input, sums);
    fwrite(sums, sizeof sums, 1, stdout);
    const int32_t decided = ${decides ? 'model_class(sums)' : -1};
    fwrite(&decided, sizeof decided, 1, stdout);
  }
  return 0;
}
`,
  );
  const program = join(out, 'program');
  const files = ['main.c', 'model.c'].map((file) => join(out, file));
  const { status, stderr } = spawnSync('cc', [...promised, '-Wshadow', ...flags, ...files, '-o', program], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(stderr.slice(0, 4000));
  const input = new Uint8Array(Float32Array.from(rows.flatMap((row) => Array.from(row))).buffer);
  const all = new Int32Array(new Uint8Array(execFileSync(program, { input, maxBuffer: 2 ** 26 })).buffer);
  const width = outputs + 1;
  return {
    sums: all.filter((_, i) => i % width < outputs),
    classes: decides ? [...all.filter((_, i) => i % width === outputs)] : null,
  };
}

function expectSame(graph: Graph, { sums, classes }: FromC, rows: ArrayLike<number>[], name: string): void {
  const interpreter = createInterpreter(graph);
  const operator = graph.operators.find(({ op }) => op === 'FOREST')!;
  const { outputs, scale } = forestIn(graph, operator);
  expect(sums.length, name).toBe(rows.length * outputs);
  rows.forEach((row, at) => {
    const answer = interpreter.invoke(Float32Array.from(row));
    if (classes !== null) {
      const decided = answer.length > 1 ? answer.indexOf(Math.max(...answer)) : Number(answer[0]! >= 0.5);
      expect(classes[at], `${name}, row ${at}: ${answer}`).toBe(decided);
    } else expect(outputs, name).toBe(1);
    const own = interpreter.tensors[operator.outputs[0]!] as Float32Array;
    const theirs = Float32Array.from(sums.subarray(at * outputs, (at + 1) * outputs), (sum) => sum * scale);
    expect(Buffer.from(theirs.buffer).equals(Buffer.from(own.slice().buffer)), `${name}, row ${at}`).toBe(
      true,
    );
  });
}

describeReal('cc', 'a trained forest as C', () => {
  it.each([
    ['-O2'],
    ['-O0', '-fsanitize=address,undefined', '-fno-sanitize-recover=all'],
    ['-Os', '-static'],
  ])(
    'produces the same sums as the interpreter, bit for bit, and the same classes when compiled with %s',
    { timeout: 120_000 },
    async (...flags) => {
      const { graph, rows } = await hardForest();
      const out = mkdtempSync(join(folder, 'c-'));
      const texts = emitted('c', {
        out,
        graph,
        contents: writeTflite(graph),
        name: 'test',
        classes: ['a', 'b', 'c'],
      });
      for (const [path, text] of texts) writeFileSync(path, text);
      expectSame(graph, runInC(out, graph, rows, flags), rows, flags.join(' '));
    },
  );
});
