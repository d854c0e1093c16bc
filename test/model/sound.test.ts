import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { parse, stringify } from 'yaml';
import { evaluationText } from '../../src/lib/cli/render/evaluation.js';
import { plural } from '../../src/lib/core/figures.js';
import { gaussian, seededRandom } from '../../src/lib/core/numbers.js';
import { loadProject, type Project } from '../../src/lib/core/project.js';
import { openDataset } from '../../src/lib/data/dataset/open.js';
import { writeWav } from '../../src/lib/formats/wav.js';
import { readBuilt } from '../../src/lib/model/build-folder.js';
import { bundleProject } from '../../src/lib/model/bundle/bundle-project.js';
import { deviceNeed } from '../../src/lib/model/bundle/device-memory.js';
import { checkGolden } from '../../src/lib/model/bundle/golden.js';
import { membersOf, unpackBundle } from '../../src/lib/model/bundle/pack.js';
import { createPredictor } from '../../src/lib/model/bundle/predictor.js';
import { interfaceOf } from '../../src/lib/model/bundle/signed-bundle.js';
import type { EvaluateResult } from '../../src/lib/model/evaluate/result.js';
import { evaluateStream, hearStream } from '../../src/lib/model/evaluate/stream.js';
import { readTraining } from '../../src/lib/model/files.js';
import { runCli } from '../support/cli.js';
import { replayOn } from './replay.js';
import { temporaryFolder } from './support.js';

const yaml = `name: sounds
stream: { topic: sound, fields: { sound: { unit: FS, range: [-1, 1] } } }
signal: { rate: 8000, window: 4800, stride: 1600, features: logmel, mel: { bands: 16, low: 100 } }
model:
  kind: ds-cnn
  layers: [8, 12]
  labels: { whistle: [whistle], buzz: [buzz] }
  train: { epochs: 15, batch: 8, seed: 4, learningRate: 0.01 }
  accept: { macroF1: 0.9, drop: 0.05, bytes: 60KiB }
`;

/** 0.8 s of a gliding whistle, or of a buzz with many harmonics, each with its own pitch, in noise. */
function sound(label: string, take: number, rateHz: number): Float64Array {
  const random = seededRandom(100 * take + label.length);
  const pitch = label === 'whistle' ? 900 + 900 * random() : 90 + 60 * random();
  let phase = 0;
  return Float64Array.from({ length: 0.8 * rateHz }, (_, i) => {
    phase += (2 * Math.PI * pitch * (1 + (0.3 * i) / rateHz)) / rateHz;
    const buzz = [1, 2, 3, 4, 5, 6, 8, 11, 15].reduce((sum, k) => sum + Math.sin(k * phase), 0);
    return (label === 'whistle' ? 0.3 * Math.sin(phase) : 0.05 * buzz) + 0.01 * gaussian(random);
  });
}

/** Exactly one second at 16 kHz. */
function longSound(label: string, take: number): Float64Array {
  const short = sound(label, take, 20_000);
  return short.subarray(0, 16_000);
}

let project: Project;
beforeAll(async () => {
  const dir = await temporaryFolder();
  await writeFile(join(dir, 'aiot.yaml'), yaml);
  await mkdir(join(dir, 'data'));
  for (const label of ['whistle', 'buzz']) {
    for (let take = 1; take <= 10; take++) {
      const rateHz = take % 2 ? 8000 : 16_000;
      const bytes = writeWav({ rateHz, channels: [sound(label, take, rateHz)] });
      await writeFile(join(dir, 'data', `${label}${take}.wav`), bytes);
    }
  }
  project = await loadProject(dir);
});

describe('a model of raw sound at 16 kHz', () => {
  it('goes from WAV files to predictions of a loop and of a virtual device', async () => {
    const folder = await temporaryFolder();
    const [from, dir] = [join(folder, 'from'), join(folder, 'raw')];
    await mkdir(from);
    for (const label of ['whistle', 'buzz'])
      for (let take = 1; take <= 8; take++) {
        const channels = [longSound(label, take)];
        await writeFile(join(from, `${label}${take}.wav`), writeWav({ rateHz: 16_000, channels }));
      }
    expect((await runCli(['init', dir, '--from', from, '--json'])).code).toBe(0);
    const file = join(dir, 'aiot.yaml');
    const config = parse(await readFile(file, 'utf8'));
    expect(config).toMatchObject({ signal: { rate: 16_000 }, stream: { topic: 'raw' } });
    Object.assign(config.signal, { window: 16_000, stride: 16_000, features: 'raw', mel: undefined });
    Object.assign(config.model, {
      vote: undefined,
      kind: 'cnn1d',
      layers: [4, 8],
      train: { epochs: 6, batch: 4, seed: 3, learningRate: 0.02 },
    });
    await writeFile(file, stringify(config));
    const at = ['--project', dir, '--json'];
    for (const step of ['train', 'quantize', 'evaluate'])
      expect(await runCli(['model', step, ...at]), step).toMatchObject({ code: 0 });
    const { file: bundleFile, bundle } = await bundleProject({ project: await loadProject(dir) });
    expect(bundle.info.signal).toMatchObject({ features: 'raw', windowSamples: 16_000, rateHz: 16_000 });
    expect(interfaceOf(bundle)).toBe(13);
    expect(checkGolden(bundle)).toMatchObject({ vectors: 1, passed: 1 });

    const heard = longSound('whistle', 77);
    const sound16 = join(folder, 'new.wav');
    await writeFile(sound16, writeWav({ rateHz: 16_000, channels: [heard] }));
    const out = join(folder, 'out.ndjson');
    const looped = await runCli([
      ...[
        'loop',
        'run',
        ...at,
        '--model',
        bundleFile,
        '--sensor',
        `file:${sound16}?speed=max`,
        '--vote',
        'none',
      ],
      ...['--send', 'always', '--out', `file:${out}`],
    ]);
    expect(looped.json, looped.stderr).toMatchObject({ samples: 16_000, windows: 1, predictions: 1 });
    const [line] = (await readFile(out, 'utf8')).trim().split('\n');
    expect(JSON.parse(line!).payload.label).toBe('whistle');

    const { replayed, labels } = await replayOn(bundleFile, 'raw', {
      rateHz: 16_000,
      columns: [longSound('buzz', 55)],
    });
    expect(replayed).toMatchObject({ samples: 16_000, inferences: 1 });
    expect(labels).toEqual(['buzz']);
  }, 300_000);
});

describe('a project of a folder of short sounds', () => {
  it('has the features and the network of spoken words, and recognizes the sounds', async () => {
    const folder = await temporaryFolder();
    const [from, dir, chip] = [join(folder, 'from'), join(folder, 'sounds'), join(folder, 'chip')];
    await mkdir(from);
    for (const label of ['whistle', 'buzz'])
      for (let take = 1; take <= 8; take++) {
        const channels = [longSound(label, take)];
        await writeFile(join(from, `${label}${take}.wav`), writeWav({ rateHz: 16_000, channels }));
      }
    const made = await runCli(['init', dir, '--from', from, '--json']);
    expect(made.code, made.stderr).toBe(0);
    expect(parse(await readFile(join(dir, 'aiot.yaml'), 'utf8'))).toMatchObject({
      signal: {
        ...{ rate: 16_000, window: 16_000, stride: 3200, features: 'mfcc' },
        mel: { frame: 640, hop: 320, bands: 40, low: 60, high: 7600, coefficients: 13 },
      },
      model: { kind: 'ds-cnn', layers: [32, 48, 64, 64], split: 'recording', vote: 'majority:3' },
    });
    const at = ['--project', dir, '--json'];
    for (const step of ['train', 'quantize'])
      expect(await runCli(['model', step, ...at]), step).toMatchObject({ code: 0 });
    expect((await runCli(['model', 'evaluate', ...at])).json).toMatchObject({ int8: { accuracy: 1 } });

    // Longer recordings are no words; they would become too many windows.
    const [hum, long] = [join(folder, 'hum'), join(folder, 'long')];
    await mkdir(hum);
    for (const label of ['low', 'high']) {
      const samples = Float64Array.from(
        { length: 6 * 8000 },
        (_, i) => Math.sin(i / (label === 'low' ? 40 : 9)) / 2,
      );
      await writeFile(join(hum, `${label}1.wav`), writeWav({ rateHz: 8000, channels: [samples] }));
      await writeFile(join(hum, `${label}2.wav`), writeWav({ rateHz: 8000, channels: [samples] }));
    }
    expect((await runCli(['init', long, '--from', hum, '--json'])).code).toBe(0);
    expect(parse(await readFile(join(long, 'aiot.yaml'), 'utf8')).model.kind).toBe('mlp');

    // The default firmware of a chip has too little memory for these features.
    expect((await runCli(['init', chip, '--from', from, '--chip', 'esp32s3', '--json'])).code).toBe(0);
    const small = parse(await readFile(join(chip, 'aiot.yaml'), 'utf8'));
    expect(small.model.kind).toBe('mlp');
    expect(small.signal.mel).toBeUndefined();
  }, 300_000);
});

describe('a model of mel features', () => {
  it('is trained on WAV files, quantized, evaluated and bundled, and predicts in a loop', async () => {
    const at = ['--project', project.dir];
    expect((await runCli(['model', 'train', ...at, '--json'])).code).toBe(0);
    const training = await readTraining(project);
    expect(training.network.inputShape).toEqual([29, 16, 1]);
    // All frames of a band share their statistics.
    const { mean } = training.standardization;
    expect(new Set(mean).size).toBe(16);
    expect(mean[0]).toBe(mean[28 * 16]);
    expect((await runCli(['model', 'quantize', ...at, '--json'])).code).toBe(0);
    const evaluated = await runCli(['model', 'evaluate', ...at, '--json']);
    expect(evaluated.json).toMatchObject({ passed: true });

    const { file, bundle } = await bundleProject({ project });
    expect(bundle.info.signal.mel).toMatchObject({ frameSamples: 240, hopSamples: 160, fftSamples: 256 });
    expect(interfaceOf(bundle)).toBe(6);
    // bundle.json stores the statistics of each band once.
    const stored = JSON.parse(Buffer.from(membersOf(bundle)[0]!.data).toString());
    expect(stored.standardization).toEqual({
      mean: mean.slice(0, 16),
      deviation: training.standardization.deviation.slice(0, 16),
    });
    expect(bundle.info.standardization).toEqual(training.standardization);
    expect(deviceNeed(bundle).parts.standardization).toBe(2 * 8 * 16);
    // A window of 4800 samples is long, so only one vector contains its samples.
    expect(bundle.golden.map(({ samples }) => samples.length)).toEqual([4800, 0]);
    expect(checkGolden(bundle)).toMatchObject({ vectors: 2, passed: 2 });

    const fresh = sound('whistle', 77, 8000);
    await writeFile(join(project.dir, 'new.wav'), writeWav({ rateHz: 8000, channels: [fresh] }));
    const out = join(project.dir, 'out.ndjson');
    const looped = await runCli([
      ...['loop', 'run', ...at, '--model', file, '--sensor', 'file:new.wav?speed=max', '--vote', 'none'],
      ...['--send', 'always', '--out', `file:${out}`, '--json'],
    ]);
    expect(looped.code, looped.stderr).toBe(0);
    expect(looped.json).toMatchObject({ samples: 6400, lost: 0, windows: 2, predictions: 2 });
    const predictor = createPredictor(bundle);
    const labels = [...fresh]
      .map((value) => predictor.push([Math.round(value * 2 ** 15) / 2 ** 15])?.label)
      .filter((label) => label != null);
    const sent = (await readFile(out, 'utf8')).trim().split('\n');
    expect(sent.map((line) => JSON.parse(line).payload.label)).toEqual(labels);
    expect(labels[0]).toBe('whistle');
  });

  it('predicts in a loop on a microphone, which a program in place of arecord provides', async () => {
    const folder = await temporaryFolder();
    const heard = join(folder, 'arguments');
    const samples = Int16Array.from(sound('whistle', 78, 8000), (value) => Math.round(value * 2 ** 15));
    await writeFile(join(folder, 'sound.raw'), Buffer.from(samples.buffer));
    // The sound in steps of 50 ms, over and over, until the loop ends the program.
    const script = `#!${process.execPath}
const { readFileSync, writeFileSync } = require('node:fs');
writeFileSync(${JSON.stringify(heard)}, process.argv.slice(2).join(' '));
const sound = readFileSync(${JSON.stringify(join(folder, 'sound.raw'))});
let at = 0;
setInterval(() => {
  process.stdout.write(sound.subarray(at, at + 800));
  at = (at + 800) % sound.length;
}, 50);
`;
    await writeFile(join(folder, 'arecord'), script, { mode: 0o755 });
    vi.stubEnv('PATH', `${folder}:${process.env.PATH}`);
    const out = join(folder, 'out.ndjson');
    const looped = await runCli([
      ...['loop', 'run', '--project', project.dir, '--model', join(project.dir, 'build', 'model.aiot')],
      ...['--sensor', 'alsa://default?rate=8000', '--vote', 'none', '--send', 'always'],
      ...['--out', `file:${out}`, '--for', '2500ms', '--json'],
    ]).finally(() => vi.unstubAllEnvs());
    expect(looped.code, looped.stderr).toBe(0);
    expect(await readFile(heard, 'utf8')).toContain('-r 8000');
    const sent = (await readFile(out, 'utf8')).trim().split('\n');
    const labels = sent.map((line) => JSON.parse(line).payload.label);
    expect(labels.length).toBeGreaterThanOrEqual(3);
    expect(labels.filter((label) => label === 'whistle').length).toBeGreaterThan(labels.length / 2);
  }, 30_000);

  it('is rolled out to a virtual device, which predicts as the bundle does', async () => {
    const file = join(project.dir, 'build', 'model.aiot');
    const column = sound('buzz', 55, 8000);
    const { replayed, labels } = await replayOn(file, 'sounds', { rateHz: 8000, columns: [column] });
    expect(replayed).toMatchObject({ samples: 6400, inferences: 2 });
    const predictor = createPredictor(unpackBundle(await readFile(file)));
    expect(labels).toEqual([...column].flatMap((value) => predictor.push([value])?.label ?? []));
  });

  it('is evaluated on a stream of the test recordings, counting detections and false alarms', async () => {
    const args = ['model', 'evaluate', '--project', project.dir, '--streaming', '2m', '--json'];
    const { json, code } = await runCli([...args, '--background', 'buzz']);
    expect(code).toBe(0);
    const { stream } = json as { stream: Record<string, number> };
    expect(stream).toMatchObject({ minutes: 2, background: 'buzz', classes: [{ name: 'whistle' }] });
    expect(stream.events).toBeGreaterThan(5);
    expect(stream.detected).toBeLessThanOrEqual(stream.events!);
    const { noise } = (json as { stream: { noise: Record<'events' | 'wordlessMinutes', number> } }).stream;
    // In a minute of noise, too, about every fifth recording is a word, although no other recordings are in between.
    expect(noise.events).toBeGreaterThan(0);
    expect(noise.events).toBeLessThan(12);
    expect(noise.wordlessMinutes).toBeGreaterThan(0.6);
    expect(stream.wordlessMinutes).toBeLessThan(2);
    expect(stream.falseAlarmsPerHour).toBeCloseTo((60 * stream.falseAlarms!) / stream.wordlessMinutes!, 9);
    // The same seed makes the same stream.
    expect((await runCli([...args, '--background', 'buzz'])).json).toMatchObject({ stream });
    expect((await runCli(args)).json).toMatchObject({
      error: { code: 'AIOT_USAGE', message: expect.stringContaining('whistle, buzz') },
    });
  });

  it('may predict a probability, whose threshold is that of the project in streams, bundles and devices', async () => {
    const dir = await temporaryFolder();
    await cp(join(project.dir, 'data'), join(dir, 'data'), { recursive: true });
    const own = yaml
      .replace('labels: { whistle: [whistle], buzz: [buzz] }', 'labels: { buzz: [buzz], whistle: [whistle] }')
      .replace(/ {2}accept: .*\n/, '  output: probability\n  vote: average:2\n');
    const config = join(dir, 'aiot.yaml');
    await writeFile(config, own);
    const run = async (...args: string[]) => {
      const { code, json, stderr } = await runCli(['model', ...args, '--project', dir, '--json']);
      return { code, json, stderr } as { code: number; json: Record<string, unknown>; stderr: string };
    };
    for (const step of ['train', 'quantize']) expect(await run(step), step).toMatchObject({ code: 0 });
    const streamAt = async (threshold: number) => {
      await writeFile(config, `${own}  threshold: ${threshold}\n`);
      const { json, code, stderr } = await run('evaluate', '--streaming', '2m');
      expect(code, stderr).toBe(0);
      expect(json).toMatchObject({
        ...{ threshold, output: 'probability' },
        stream: { minutes: 2, background: 'buzz', vote: 'average:2', classes: [{ name: 'whistle' }] },
      });
      return json.stream as Record<'events' | 'detected' | 'falseAlarms', number>;
    };
    const [low, high] = [await streamAt(0.004), await streamAt(0.9)];
    expect(high.events).toBe(low.events);
    expect(high.detected).toBeGreaterThan(high.events / 2);
    // At the lowest probability, the smoothed prediction hardly ever changes.
    expect(low.detected + low.falseAlarms).toBeLessThan(high.detected);
    const { bundle } = await bundleProject({ project: await loadProject(dir) });
    expect(bundle.info.answer).toEqual({ kind: 'probability', threshold: 0.9 });

    await writeFile(config, own);
    await expect(bundleProject({ project: await loadProject(dir) })).rejects.toMatchObject({
      code: 'AIOT_MODEL_STALE',
      message: 'model.threshold in aiot.yaml has changed since the evaluation',
      next: 'Evaluate it again with `aiot model evaluate`.',
    });
    expect((await run('evaluate', '--threshold', '0.8')).json).toMatchObject({
      error: { code: 'AIOT_USAGE', next: expect.stringContaining('model.threshold') },
    });
  }, 60_000);

  it('gets thresholds for a rate of false alarms from a stream of the validation recordings', async () => {
    const built = await readBuilt(project, {});
    const common = { background: 'buzz', minutes: 1, seed: 4 };
    const validation = hearStream(built, { ...common, part: 'validation', onlyOthers: true });
    expect(validation.parts.map(({ condition }) => condition)).toEqual(['others']);
    const figures = evaluateStream(built, { ...common, vote: 'none', validation });
    expect(figures.points.map(({ vote, target }) => [vote, target])).toEqual(
      ['none', 'majority:3', 'average:3', 'average:5'].flatMap((vote) =>
        [1, 2, 5, 10, 20, 50].map((t) => [vote, t]),
      ),
    );
    for (const point of figures.points.filter(({ target }) => target === 5)) {
      const reject = { label: 'unknown', minimum: point.minimum, radius: [], center: [], weight: [] };
      // Each point is what the evaluation measures with its thresholds and smoothing.
      const own = evaluateStream(built, { ...common, vote: point.vote, reject });
      expect(point.missed).toBe(1 - own.detected / own.events);
      expect(point.others).toBe(own.others!.falseAlarmsPerHour);
    }
  });

  it('is explained by its spectrogram bands', async () => {
    const { json, code } = await runCli(['model', 'explain', '--project', project.dir, '--json']);
    expect(code).toBe(0);
    expect(JSON.stringify(json)).toContain('sound_mel0');
  });

  it('can write its features as a table, even for another feature set with its defaults', async () => {
    const table = await runCli([
      'data',
      'features',
      '--project',
      project.dir,
      '--json',
      '--out',
      join(project.dir, 'f.csv'),
    ]);
    expect(table.json).toMatchObject({ set: 'logmel', rows: 40, columns: { length: 29 * 16 } });
    const file = join(project.dir, 'data', 'whistle1.wav');
    const args = ['--set', 'mfcc', '--window', '4800', '--stride', '4800'];
    const cepstral = await runCli([
      'data',
      'features',
      file,
      ...args,
      '--json',
      '--out',
      join(project.dir, 'c.csv'),
    ]);
    expect(cepstral.json).toMatchObject({ set: 'mfcc', rows: 1, rateHz: 8000, columns: { length: 29 * 13 } });
  });

  it('can be trained on the micro front end, whose bundle needs firmware with interface 6', async () => {
    const dir = await temporaryFolder();
    await cp(join(project.dir, 'data'), join(dir, 'data'), { recursive: true });
    const own = yaml.replace('features: logmel', 'features: microfrontend').replace('low: 100', 'low: 125');
    await writeFile(join(dir, 'aiot.yaml'), own);
    const at = ['--project', dir, '--json'];
    for (const command of ['train', 'quantize', 'evaluate']) {
      const { code, stderr } = await runCli(['model', command, ...at]);
      expect(code, stderr).toBe(0);
    }
    const { bundle } = await bundleProject({ project: await loadProject(dir) });
    expect(interfaceOf(bundle)).toBe(6);
    expect(checkGolden(bundle)).toMatchObject({ vectors: 2, passed: 2 });
    const predictor = createPredictor(bundle);
    const labels = (label: string) =>
      [...sound(label, 77, 8000)].flatMap((value) => predictor.push([value])?.label ?? []);
    expect(labels('whistle')[0]).toBe('whistle');
    const streamed = await runCli(['model', 'evaluate', ...at, '--streaming', '1m', '--background', 'buzz']);
    expect(streamed.json).toMatchObject({ stream: { minutes: 1, classes: [{ name: 'whistle' }] } });
    const { stream } = streamed.json as unknown as EvaluateResult;
    expect(evaluationText(streamed.json as unknown as EvaluateResult).replaceAll(/\s+/g, ' ')).toContain(
      `: ${stream!.detected} of ${plural(stream!.events, 'word')} detected. ${plural(stream!.confused, 'detection')} of a different word during a word, also during detected ones. False alarms: `,
    );
  });

  it('can also be trained with convolutions over time and with dense layers', async () => {
    for (const [kind, shape] of [
      ['cnn1d', [29, 16]],
      ['mlp', [29 * 16]],
    ] as const) {
      const { code } = await runCli(['model', 'train', '--project', project.dir, '--kind', kind, '--json']);
      expect(code).toBe(0);
      expect((await readTraining(project)).network.inputShape).toEqual(shape);
    }
    expect((await openDataset(project)).recordings).toHaveLength(20);
  });
});
