import { describe, expect, it } from 'vitest';
import { parseProject } from '../../src/lib/core/index.js';

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

describe('aiot.yaml', () => {
  it('gets its defaults', () => {
    const config = parseProject(good, 'aiot.yaml');
    expect(config.model.train).toEqual({ epochs: 50, batch: 32, seed: 7, learningRate: 0.001 });
    expect(config.signal.features).toBe('raw');
  });

  it.each([
    [
      'kind: mlp',
      'kind: lstm',
      'aiot.yaml:12:3: model.kind: Invalid option: expected one of "mlp"|"cnn1d"; got "lstm"',
    ],
    ['rate: 100', 'rate: fast', 'aiot.yaml:7:3: signal.rate: expected number; got "fast"'],
    ['window: 250', 'windw: 250', 'aiot.yaml:9:3: signal.windw: not a known field'],
    [
      'lowpass: 12',
      'lowpass: 60',
      'aiot.yaml:8:3: signal.lowpass: expected below half the rate (50 Hz); got 60',
    ],
    [
      'walk: [walking]',
      'walk: [lying]',
      'aiot.yaml:13:37: model.labels.walk: label "lying" is already in class "rest"',
    ],
    ['range: [-8, 8]', 'range: [8, -8]', 'expected [low, high] with low < high; got [8,-8]'],
    ['name: watch', 'name: watch\nname: again', 'aiot.yaml:2:1: not YAML: Map keys must be unique'],
  ])('with %s made %s names file, line, field, expected and got', (from, to, message) => {
    expect(() => parseProject(good.replace(from, to), 'aiot.yaml')).toThrow(message);
  });
});
