import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { digestOf } from '../../src/lib/core/crypto.js';
import { gaussian, seededRandom } from '../../src/lib/core/numbers.js';
import { loadProject, type Project, parseProject } from '../../src/lib/core/project.js';
import { bundleProject } from '../../src/lib/model/bundle/bundle-project.js';
import { checkGolden } from '../../src/lib/model/bundle/golden.js';
import { packBundle, unpackBundle } from '../../src/lib/model/bundle/pack.js';
import { createPredictor } from '../../src/lib/model/bundle/predictor.js';
import { interfaceOf, modelPartOf } from '../../src/lib/model/bundle/signed-bundle.js';
import type { Bundle, RejectSpec } from '../../src/lib/model/bundle/types.js';
import { evaluateProject, requireSameDecision } from '../../src/lib/model/evaluate/evaluate-project.js';
import type { EvaluateResult } from '../../src/lib/model/evaluate/result.js';
import { buildFiles, readEvaluation, readTraining } from '../../src/lib/model/files.js';
import { retrainLastLayer } from '../../src/lib/model/retrain.js';
import { temperatureOf } from '../../src/lib/model/train/fit/loss.js';
import { runCli } from '../support/cli.js';
import { toyCsv, toyProject, yaml } from './support.js';

/** A movement that no class contains: three times as strong. */
function oddCsv(take: number): string {
  const random = seededRandom(take);
  const rows = Array.from({ length: 300 }, (_, i) => {
    const angle = (2 * Math.PI * 3 * i) / 50 + take;
    return [Math.sin(angle), Math.cos(angle)]
      .map((value) => (3 * value + 0.1 * gaussian(random)).toFixed(5))
      .join(',');
  });
  return `x,y\n${rows.join('\n')}\n`;
}

const files = Object.fromEntries([
  ...['calm', 'slow', 'fast'].flatMap((label) =>
    [1, 2, 3, 4, 5].map((take) => [`${label}${take}.csv`, toyCsv(label, take)]),
  ),
  ...[1, 2].map((take) => [`odd${take}.csv`, oddCsv(take)]),
]);

const rejecting = (text: string) => `${text}  reject: { unknown: [odd], share: 0.1 }\n`;

async function build({ dir }: Project): Promise<EvaluateResult> {
  for (const step of ['train', 'quantize', 'evaluate']) {
    const result = await runCli(['model', step, '--project', dir, '--json']);
    if (result.code !== 0) throw new Error(`${step}: ${result.stdout}`);
    if (step === 'evaluate') return result.json as EvaluateResult;
  }
  throw new Error('not evaluated');
}

function labelsOn({ info, ...bundle }: Bundle, csv: string): (string | null)[] {
  const predictor = createPredictor({ info, ...bundle });
  return csv
    .trim()
    .split('\n')
    .slice(1)
    .flatMap((line) => predictor.push(line.split(',').map(Number)) ?? [])
    .map(({ label }) => label);
}

describe('model.reject', () => {
  let project: Project;
  let evaluated: EvaluateResult;
  let bundle: Bundle;
  beforeAll(async () => {
    project = await toyProject(rejecting, files);
    evaluated = await build(project);
    bundle = (await bundleProject({ project })).bundle;
  });

  it('separates windows of unknown labels from those of the classes, and measures both', () => {
    const { rejection } = evaluated;
    expect(rejection).toMatchObject({
      label: 'unknown',
      share: 0.1,
      unknown: { recordings: 2, windows: 22 },
    });
    expect(rejection!.unknown!.auc).toBeGreaterThan(0.99);
    expect(rejection!.unknown!.rejected).toBe(1);
    expect(rejection!.known.windows).toBe(evaluated.n);
    expect(rejection!.known.rejected).toBeLessThan(0.35);
    expect(rejection!.perClass.map((own) => own.class)).toEqual(['calm', 'slow', 'fast']);
    const rejected = rejection!.perClass.reduce((sum, own) => sum + own.windows * own.rejected!, 0);
    expect(rejected / evaluated.n).toBeCloseTo(rejection!.known.rejected!, 9);
  });

  it('leaves the other metrics unchanged, and never trains on the unknown labels', async () => {
    const training = await readTraining(project);
    const { train, validation, test } = training.split;
    expect([...train, ...validation, ...test].filter((id) => id.startsWith('odd'))).toEqual([]);
    const { digest, accuracy, confusion } = evaluated;
    const plain = await loadProject(project.dir);
    plain.config.model.reject = { label: 'other', share: 0.5, unknown: ['odd'] };
    const loose = await evaluateProject({ project: plain });
    expect(loose).toMatchObject({ digest, accuracy, confusion });
    expect(loose.rejection!.known.rejected).toBeGreaterThan(evaluated.rejection!.known.rejected!);
    await evaluateProject({ project });
  });

  it('is part of the bundle: a predictor labels a strange movement unknown, and known ones by their class', () => {
    expect(labelsOn(bundle, oddCsv(7)).every((label) => label === 'unknown')).toBe(true);
    const own = labelsOn(bundle, toyCsv('fast', 9));
    expect(own.filter((label) => label === 'fast').length).toBeGreaterThan(own.length / 2);
    expect(bundle.info.classes).toEqual(['calm', 'slow', 'fast']);
    expect(interfaceOf(bundle)).toBe(4);
    expect(modelPartOf(bundle).answer).toMatchObject({ kind: 'classes', reject: { label: 'unknown' } });
    expect(checkGolden(bundle)).toMatchObject({ failures: [] });
  });

  it('accepts at least the allowed share of the validation windows', async () => {
    const { split } = await readTraining(project);
    const labels = split.validation.flatMap((id) => labelsOn(bundle, files[`${id}.csv`]!));
    const rejected = labels.filter((label) => label === 'unknown').length;
    expect(rejected).toBeLessThanOrEqual(Math.ceil(0.1 * labels.length));
  });

  it('shows what a missing field costs, and whether it is noticed', async () => {
    const { json } = await runCli(['model', 'evaluate', '--project', project.dir, '--sensor-drop', '--json']);
    const { sensorDrop, accuracy, digest } = json as EvaluateResult;
    expect(digest).toBe(evaluated.digest);
    expect(sensorDrop!.map(({ field }) => field)).toEqual(['x', 'y']);
    // The classes lean to different sides of x, so x decides more than y.
    const [x, y] = sensorDrop!;
    expect(x!.accuracy).toBeLessThan(accuracy!);
    expect(x!.accuracy).toBeLessThan(y!.accuracy!);
    for (const { rejected, value } of sensorDrop!) {
      expect(rejected).toBeGreaterThanOrEqual(0);
      expect(Math.abs(value)).toBeLessThan(1.5);
    }
    const { stdout } = await runCli(['model', 'evaluate', '--project', project.dir, '--sensor-drop']);
    expect(stdout).toMatch(/missing field +accuracy +macro-F1 +rejected/);
    const file = await runCli(['model', 'evaluate', 'x.tflite', '--sensor-drop', '--json']);
    expect(file.json).toMatchObject({ error: { code: 'AIOT_USAGE' } });
  });

  it('is read back from the evaluation with a rate of false alarms, so that such a model can be pushed', async () => {
    const own = await loadProject(project.dir);
    const asked = { label: 'other', share: 0.1, unknown: ['odd'], falseAlarms: 5, background: 'calm' };
    own.config.model.reject = asked;
    const file = buildFiles(own).evaluation;
    const text = await readFile(file, 'utf8');
    const evaluation = JSON.parse(text);
    await writeFile(file, JSON.stringify({ ...evaluation, reject: { ...evaluation.reject, asked } }));
    const read = await readEvaluation(own);
    expect(() => requireSameDecision(read, own)).not.toThrow();
    own.config.model.reject = { ...asked, falseAlarms: 6 };
    expect(() => requireSameDecision(read, own)).toThrow('model.reject in aiot.yaml has changed');
    await writeFile(file, text);
  });

  it('is shown in printed output, and makes an evaluation outdated if it changes', async () => {
    const { stdout } = await runCli(['model', 'evaluate', '--project', project.dir]);
    expect(stdout).toMatch(/Unknown rejected +100\.0 % of 22 windows.* of 2 recordings/);
    expect(stdout).toMatch(/rejected as unknown +output below +distance above/);
    const text = await readFile(project.file, 'utf8');
    await writeFile(project.file, text.replace('share: 0.1', 'share: 0.2'));
    const changed = await loadProject(project.dir);
    await writeFile(project.file, text);
    await expect(bundleProject({ project: changed })).rejects.toMatchObject({
      code: 'AIOT_MODEL_STALE',
      message: 'model.reject in aiot.yaml has changed since the evaluation',
    });
  });

  it('is part of generated C code once the model was evaluated with the same settings, and until then a note says so', async () => {
    const out = join(project.dir, 'code');
    const run = async (command: string, ...flags: string[]) => {
      const { json, code } = await runCli(['model', command, '--project', project.dir, ...flags, '--json']);
      expect(code).toBe(0);
      return json;
    };
    const exported = async (...flags: string[]) => {
      const json = await run('quantize', '--emit', 'c', '--out', out, ...flags);
      const [header, source] = await Promise.all(
        ['model.h', 'model.c'].map((name) => readFile(join(out, name), 'utf8')),
      );
      return { header: header!, source: source!, notes: (json as { notes: string[] }).notes.join() };
    };
    const known = await exported();
    expect(known.notes).not.toContain('model.reject');
    expect(known.header).toContain('#define MODEL_REJECTED 3\n#define MODEL_REJECTED_NAME "unknown"');
    expect(known.header).toContain('int model_vote(const int8_t *output, const float *features);');
    const text = await readFile(project.file, 'utf8');
    await writeFile(project.file, `${text}  costs: { slow: { fast: 4 } }\n`);
    const changed = await exported();
    const { notes } = (await run('quantize', '--emit', 'c')) as { notes: string[] };
    await writeFile(project.file, text);
    expect(notes.join()).toContain('for the model in build/: run it, and then this command again');
    expect(changed.notes).toContain('the C code does not reject windows yet');
    expect(changed.header).not.toContain('MODEL_REJECTED');
    expect(changed.header).toContain('int model_vote(const int8_t *output);');
    expect(changed.source).toMatch(/costs\[9\] = \{\s+0, 1, 1, 1, 0, 4, 1, 1, 0,/);
    // The thresholds in build/ are those of another network, so an evaluation alone would not help.
    const wide = ['--mode', 'int16x8'];
    expect((await exported(...wide)).notes).toContain(
      'run `aiot model quantize` with the same settings but without --out, then `aiot model evaluate`, and then',
    );
    await run('quantize', ...wide);
    await run('evaluate');
    const followed = await exported(...wide);
    await run('quantize');
    await run('evaluate');
    expect(followed.notes).not.toContain('model.reject');
    expect(followed.header).toContain('#define MODEL_REJECTED 3');
  });

  it('keeps only the distance when the last layer is retrained, because output thresholds no longer apply', async () => {
    const window = bundle.golden.find(({ answer }) => answer.label === 'slow') ?? bundle.golden[0]!;
    const taught = { features: Float32Array.from(window.features), class: 1, recording: 'taught1' };
    const lesson = { old: [], taught: [taught], heldOut: [] };
    const { bytes } = await retrainLastLayer({ bundle, from: digestOf(packBundle(bundle)), now: 0, lesson });
    const { answer } = unpackBundle(bytes).info;
    const { radius } = (bundle.info.answer as { reject: RejectSpec }).reject;
    expect(answer).toMatchObject({ reject: { label: 'unknown', minimum: [0, 0, 0], radius } });
  });

  it.each<[string, Partial<RejectSpec>, string]>([
    ['thresholds for too few classes', { minimum: [0, 0] }, 'expected thresholds for 3 classes'],
    ['centers of another model', { center: [0] }, 'expected thresholds for 3 classes and 100 inputs'],
    ['radii without centers', { center: [], weight: [] }, 'expected thresholds for 3 classes'],
    ['the name of a class', { label: 'slow' }, 'slow is the name of a class'],
  ])('is rejected in a bundle with %s', (_, change, message) => {
    const { reject } = bundle.info.answer as { reject: RejectSpec };
    const answer = { kind: 'classes' as const, reject: { ...reject, ...change } };
    const bytes = packBundle({ ...bundle, info: { ...bundle.info, answer } });
    expect(() => unpackBundle(bytes)).toThrow(message);
  });

  it.each([
    ['reject: { label: calm }', 'model.reject.label: expected a label that is not a class; got "calm"'],
    ['reject: { unknown: [slow] }', 'model.reject.unknown: expected labels that belong to no class'],
    ['reject: { share: 0.6 }', 'model.reject.share'],
    ['output: value\n  reject: {}', 'model.reject: needs model.output: classes'],
  ])('cannot be set to %s', (line, message) => {
    expect(() => parseProject(`${yaml}  ${line}\n`, 'aiot.yaml')).toThrow(message);
  });
});

describe('model.train.calibrate', () => {
  it.each([2, 3])('finds the temperature of outputs that are too large, with %i classes', (count) => {
    const random = seededRandom(5);
    const classes = new Int32Array(4000);
    const outputs = new Float32Array(classes.length * (count === 2 ? 1 : count));
    for (let row = 0; row < classes.length; row++) {
      const logits = Array.from({ length: count }, () => 2 * gaussian(random));
      if (count === 2) logits[0] = 0;
      const sum = logits.reduce((total, z) => total + Math.exp(z), 0);
      const at = random() * sum;
      const upTo = logits.map((_, c) => logits.slice(0, c + 1).reduce((total, z) => total + Math.exp(z), 0));
      classes[row] = upTo.findIndex((total) => at < total);
      if (count === 2) outputs[row] = 3 * logits[1]!;
      else
        outputs.set(
          logits.map((z) => 3 * z),
          row * count,
        );
    }
    expect(temperatureOf(outputs, classes)).toBeGreaterThan(2.7);
    expect(temperatureOf(outputs, classes)).toBeLessThan(3.3);
  });

  it('stays moderate if a few rows are all correct', () => {
    const outputs = Float32Array.of(2, -2, -2, 2, 2, -2, -2, 2);
    expect(temperatureOf(outputs, Int32Array.of(0, 1, 0, 1))).toBeGreaterThan(0.5);
  });

  it('divides the outputs in the file, without changing a prediction', async () => {
    const plain = await toyProject();
    const before = await build(plain);
    const project = await toyProject((text) => text.replace('epochs: 12', 'epochs: 12, calibrate: true'));
    const after = await build(project);
    const { temperature, notes } = await readTraining(project);
    expect(temperature).toEqual(expect.any(Number));
    expect(temperature).not.toBe(1);
    expect(notes.join()).toContain(`outputs are divided by ${temperature}`);
    expect(after.float.confusion).toEqual(before.float.confusion);
    expect(after.float.calibrationError).not.toBe(before.float.calibrationError);
  });

  it('is rejected for decision trees', () => {
    const text = yaml
      .replace('kind: mlp\n  layers: [8]', 'kind: forest')
      .replace('epochs: 12', 'calibrate: true');
    expect(() => parseProject(text, 'aiot.yaml')).toThrow('model.train.calibrate: expected a neural network');
  });
});
