import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import type { Synthesis } from '../../src/lib/data/speech.js';
import type { EvaluateResult } from '../../src/lib/model/evaluate/result.js';
import { root } from '../support/cli.js';
import { runProgram } from '../support/program.js';
import { describeReal } from '../support/real.js';
import { temporaryFolder } from './support.js';

/** The long form follows the tutorial: sentences in training, thresholds for a rate of false alarms, and a stream of an hour. */
const isLong = process.env.AIOT_LONG === '1';
const streamed = isLong ? 60 : 10;

const run = (argv: string[]) => runProgram(argv, 3_000_000);

/** Applies the settings that the tutorial recommends for many voices. */
async function withSettingsOfTutorial(file: string): Promise<void> {
  const tutorial = await readFile(join(root, 'docs/start/keyword-spotting.md'), 'utf8');
  const wanted = parse(/```yaml\n(model:\n[\s\S]*?)```/.exec(tutorial)![1]!);
  const config = parse(await readFile(file, 'utf8'));
  const { layers } = config.model;
  const { augment } = config.model.train;
  const train = { ...config.model.train, ...wanted.model.train };
  config.model = { ...config.model, ...wanted.model, train };
  if (!isLong) {
    // Without sentences, there are fewer windows, so the model needs more epochs. The template's network is smaller.
    Object.assign(train, { epochs: 16, stride: config.signal.stride, augment });
    Object.assign(config.model, { layers, reject: { share: 0.05 } });
  }
  await writeFile(file, stringify(config));
}

const voices = isLong ? 69 : 40;

describeReal('espeak', `the template keyword-spotting with ${voices} voices of espeak-ng`, () => {
  it(`recognizes at least ${isLong ? 93 : 90} % of the windows of voices never heard, and is quiet in noise`, async () => {
    const dir = join(await temporaryFolder(), 'listener');
    const at = ['--project', dir, '--json'];
    expect((await run(['init', dir, '--template', 'keyword-spotting', '--json'])).code).toBe(0);
    await withSettingsOfTutorial(join(dir, 'aiot.yaml'));
    const words = ['--words', 'yes,no,stop', '--voices', String(voices), '--rate', '16000'];
    const speech = isLong ? ['--speech', '60'] : [];
    const made = await run(['data', 'synthesize', ...words, ...speech, ...at]);
    expect(made.json, made.stderr).toMatchObject({ replaced: 162 });
    const { recordings, speechS } = made.json as Synthesis;
    if (isLong) expect(speechS).toBeGreaterThanOrEqual(voices * 60);
    else expect(recordings).toBe(voices * 68);
    const trained = await run(['model', 'train', ...at]);
    expect(trained.code, trained.stderr).toBe(0);
    expect((await run(['model', 'quantize', ...at])).code).toBe(0);
    const { json, code, stderr } = await run(['model', 'evaluate', '--streaming', `${streamed}m`, ...at]);
    expect(code, stderr).toBe(0);
    const { int8, bytes, stream, rejection } = json as EvaluateResult;
    expect(rejection).toMatchObject({ share: 0.05 });
    expect(stream).toMatchObject({ minutes: streamed, vote: 'majority:5' });
    expect(int8.accuracy).toBeGreaterThanOrEqual(isLong ? 0.93 : 0.9);
    if (isLong) expect(int8.macroF1).toBeGreaterThanOrEqual(0.93);
    expect(bytes).toBeLessThanOrEqual(60 * 1024);
    expect(stream!.detected / stream!.events).toBeGreaterThan(isLong ? 0.65 : 0.7);
    expect(stream!.noise!.falseAlarms).toBeLessThanOrEqual(1 + streamed / 30);
    expect(stream!.others!.falseAlarmsPerHour).toBeLessThanOrEqual(isLong ? 45 : 180);
  }, 3_600_000);
});
