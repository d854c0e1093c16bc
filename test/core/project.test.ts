import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadProject, parseProject } from '../../src/lib/core/project.js';

const good = `name: watch
stream:
  topic: motion
  fields:
    x: { unit: g, range: [-8, 8] }
signal:
  rate: 100
  lowpass: 12
  window: 250
  stride: 125
model:
  kind: mlp
  labels: { rest: [sitting, lying], walk: [walking] }
`;

/** A few lines of nested aliases that expand to 3.5 billion values. */
const bomb = ['a: &a [0,0,0,0,0,0,0,0,0]', ...'bcdefghij'].reduce((text, name) => {
  const before = `*${String.fromCharCode(name.charCodeAt(0) - 1)}`;
  return `${text}\n${name}: &${name} [${Array(9).fill(before)}]`;
});

describe('aiot.yaml', () => {
  it('gets default values for omitted settings', () => {
    const config = parseProject(good, 'aiot.yaml');
    expect(config.model.train).toMatchObject({ epochs: 50, batch: 32, seed: 7, learningRate: 0.001 });
    expect(config.signal.features).toBe('raw');
  });

  it('needs no stream, signal or classes for training on table rows', () => {
    const config = parseProject('name: rows', 'aiot.yaml');
    expect(config).toMatchObject({ model: { kind: 'mlp', labels: {} }, stream: { fields: {} } });
  });

  it.each([
    ['{ severity: critical }', 'alarms.hot: expected either `where` or `absent`'],
    ['{ where: x > 1, absent: 5m }', 'alarms.hot: expected either `where` or `absent`'],
    ['{ absent: 5m, clear: x < 1 }', 'alarms.hot.clear: allowed only with `where`'],
    ['{ where: x > 1, for: 10 }', 'alarms.hot.for'],
    ['{ where: x > 1, severity: bad }', 'alarms.hot.severity'],
  ])('is rejected for the alarm %s', (alarm, message) => {
    expect(() => parseProject(`name: fan\nalarms: { hot: ${alarm} }`, 'aiot.yaml')).toThrow(message);
  });

  it('may contain numbers as recorded labels', () => {
    const text = 'name: rows\nmodel: { labels: { normal: [0], anomaly: [1, bearing] } }';
    expect(parseProject(text, 'aiot.yaml').model.labels).toEqual({
      normal: ['0'],
      anomaly: ['1', 'bearing'],
    });
  });

  it.each([
    ['{ output: value }', 'value'],
    ['{ kind: autoencoder }', 'classes'],
    ['{ kind: autoencoder, labels: { normal: [healthy] } }', 'classes'],
  ])('may define the model %s without two classes', (model, output) => {
    expect(parseProject(`name: rows\nmodel: ${model}`, 'aiot.yaml').model.output).toBe(output);
  });

  it.each([
    ['labels: { a: [a] }', 'aiot.yaml:2:10: model.labels: expected at least two classes'],
    [
      'labels: { a: [a], b: [b], c: [c] }, output: probability',
      'expected two classes for model.output: probability',
    ],
    ['kind: layers', 'model.layers: expected a list of layers'],
    ['layers: [{ type: dense, units: 3 }]', 'expected numbers for model.kind mlp'],
  ])('is rejected if its model has %s', (model, message) => {
    expect(() => parseProject(`name: rows\nmodel: { ${model} }`, 'aiot.yaml')).toThrow(message);
  });

  it('can limit false alarms only for a model of sound with a class for the background', () => {
    const text = good.replace('kind: mlp', 'kind: mlp\n  reject: { falseAlarms: 2 }');
    expect(() => parseProject(text, 'aiot.yaml')).toThrow(
      'needs signal.features: logmel or mfcc or microfrontend',
    );
    expect(() => parseProject(text, 'aiot.yaml')).toThrow(/expected a class: .*; got "other"/);
  });

  const sound = `name: bell
stream: { topic: hall, fields: { sound: { unit: FS } } }
signal:
  rate: 16000
  window: 800
  stride: 480
  features: microfrontend
  mel: { frame: 480, hop: 160, state: stream }
model:
  labels: { other: [other], wake: [wake] }
  train: { stride: 480 }
`;

  it.each([
    [
      'stride: 480 }',
      'stride: 100 }',
      'whole hops of 160 samples, at most 480 with signal.mel.state: stream; got 100',
    ],
    ['stride: 480 }', 'stride: 640 }', 'at most 480 with signal.mel.state: stream; got 640'],
    ['480, hop: 160, state: stream }\n', '480, hop: 160 }\n', null],
    [', state: stream', '', null],
    [', hop: 160, state: stream', '', 'expected whole hops of 320 samples; got 480'],
  ])('requires that training windows of sound consist of the same frames (%s: %s)', (from, to, message) => {
    const text = sound.replace(from, to);
    const parse = () => parseProject(text, 'aiot.yaml');
    if (message === null) expect(parse().model.train.stride).toBe(480);
    else {
      expect(parse).toThrow(message);
      expect(parse).toThrow(
        /^aiot\.yaml:11:12: model\.train\.stride: .* To train on the windows of signal\.stride, omit it$/,
      );
    }
  });

  it.each([
    ['output: probability, threshold: 0.85', null],
    ['threshold: 0.85', 'model.threshold: needs model.output: probability; got another output'],
    ['output: probability, threshold: 1', 'model.threshold: '],
    [
      'kind: autoencoder, output: probability, threshold: 0.5',
      'model.threshold: needs model.output: probability',
    ],
  ])('accepts a threshold only for a probability: %s', (members, message) => {
    const text = `name: rows\nmodel: { labels: { a: [a], b: [b] }, ${members} }`;
    const parse = () => parseProject(text, 'aiot.yaml');
    if (message === null) expect(parse().model.threshold).toBe(0.85);
    else expect(parse).toThrow(message);
  });

  it('cannot request rotation of windows that are not raw', () => {
    const text = good.replace('kind: mlp', 'kind: mlp\n  train: { augment: { rotation: 20 } }');
    expect(parseProject(text, 'aiot.yaml').model.train.augment.rotation).toBe(20);
    const motion = text.replace('stride: 125', 'stride: 125\n  features: motion');
    expect(() => parseProject(motion, 'aiot.yaml')).toThrow('they need signal.features: raw');
  });

  it.each([
    [
      'kind: mlp',
      'kind: lstm',
      'aiot.yaml:12:3: model.kind: expected one of mlp, cnn1d, ds-cnn, mobilenet, fomo, autoencoder, forest, layers; got "lstm"',
    ],
    ['rate: 100', 'rate: fast', 'aiot.yaml:7:3: signal.rate: expected a number; got "fast"'],
    [
      'kind: mlp',
      'kind: mlp\n  calibrate: true',
      'aiot.yaml:13:3: model.calibrate: unknown field. Did you mean model.train.calibrate?',
    ],
    ['window: 250', 'windw: 250', 'aiot.yaml:9:3: signal.windw: unknown field. Did you mean window?'],
    [
      'lowpass: 12',
      'lowpass: 60',
      'aiot.yaml:8:3: signal.lowpass: expected a frequency below half the rate (50 Hz); got 60',
    ],
    [
      'walk: [walking]',
      'walk: [lying]',
      'aiot.yaml:13:37: model.labels.walk: label "lying" is already in class "rest"',
    ],
    ['range: [-8, 8]', 'range: [8, -8]', 'expected [low, high] with low < high; got [8,-8]'],
    ['name: watch', 'name: watch\nname: again', 'aiot.yaml:2:1: not valid YAML: Map keys must be unique'],
    ['rate: 100', 'rate: .nan', 'aiot.yaml:7:3: signal.rate: expected a number; got NaN'],
    ['window: 250', 'window: 1e12', 'aiot.yaml:9:3: signal.window: '],
    [
      'stride: 125',
      'stride: 125\n  features: 5',
      'expected one of raw, motion, har, spectral, logmel, mfcc, microfrontend, image, or a list; got 5',
    ],
    ['walk: [walking]', '"": [walking]', 'model.labels.: as a name: expected 1 to 64 characters'],
    ['walk: [walking]', '"a\\nb": [walking]', 'without control characters'],
    ['walk: [walking]', 'walk: [""]', 'model.labels.walk.0: expected 1 to 64 characters'],
    ['x: {', '"x y": {', 'as a name: expected letters, digits and underscores, not starting with a digit'],
    ['x: {', '__proto__: {', 'aiot.yaml:5:5: __proto__ is not allowed as a name'],
    ['name: watch', 'name: *who', 'aiot.yaml:1:7: *who: the anchor &who is not defined before it'],
    ['name: watch', 'name: &a [*a]', 'aiot.yaml:1:11: *a: used inside its own anchor'],
    ['name: watch', bomb, 'aiot.yaml:2:8: its aliases (*) expand to more values than allowed'],
    [good, `${good}---\n${good}`, 'aiot.yaml:14:1: not valid YAML: expected one document, got another "---"'],
  ])('is rejected with the problem and its location if %s is replaced with %s', (from, to, message) => {
    expect(() => parseProject(good.replace(from, to), 'aiot.yaml')).toThrow(message);
  });

  it('is suggested from a folder with a similar name, if the folder does not exist', async () => {
    const parent = await mkdtemp(join(tmpdir(), 'aiot-project-'));
    const messageFor = async (name: string) =>
      loadProject(join(parent, name)).then(
        () => null,
        (error: Error) => error.message,
      );
    await mkdir(join(parent, 'my-watch'));
    await writeFile(join(parent, 'my-watch', 'aiot.yaml'), good);
    expect(await messageFor('my-wach')).toMatch(/my-wach contains no aiot\.yaml\. Did you mean my-watch\?$/);
    expect(await messageFor('pump')).toMatch(/pump contains no aiot\.yaml$/);
    await mkdir(join(parent, 'my-wach'));
    expect(await messageFor('my-wach')).toMatch(/my-wach contains no aiot\.yaml$/);
    await mkdir(join(parent, 'moter'));
    expect(await messageFor('mtor')).toMatch(/mtor contains no aiot\.yaml$/);
    await rm(parent, { recursive: true });
  });
});
