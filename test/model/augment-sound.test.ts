import { describe, expect, it } from 'vitest';
import { parseProject } from '../../src/lib/core/project.js';
import type { Recording } from '../../src/lib/data/types.js';
import { windowsOf } from '../../src/lib/model/train/examples/examples.js';
import { type Division, forLearning } from '../../src/lib/model/train/examples/parts.js';
import { soundCopies } from '../../src/lib/model/train/fit/augment-sound.js';
import { powerOf } from '../../src/lib/signal/acoustics.js';

const rateHz = 8000;
const off = { copies: 1, shift: 0, speed: 0, reverb: 0 };
const tone = Float64Array.from({ length: 4000 }, (_, n) => 0.5 * Math.sin((2 * Math.PI * 440 * n) / rateHz));
const recording = (id: string): Recording => ({
  ...{ id, label: 'yes', device: null, rateHz, startedAt: null, fields: ['sound'] },
  columns: [tone],
});

describe('copies of sound for training', () => {
  it('depend only on the seed, the recording and the copy’s number', () => {
    const settings = { copies: 2, snr: [5, 20] as [number, number], shift: 0.1, speed: 0.1, reverb: 0.3 };
    const copyOf = (seed: number, id: string, copy: number) =>
      soundCopies(settings, seed).of(recording(id), [tone], copy)[0]!;
    expect(copyOf(1, 'a', 1)).toEqual(copyOf(1, 'a', 1));
    for (const other of [copyOf(2, 'a', 1), copyOf(1, 'b', 1), copyOf(1, 'a', 2)])
      expect(other).not.toEqual(copyOf(1, 'a', 1));
    expect(copyOf(1, 'a', 1)).toHaveLength(tone.length);
  });

  it('equal the recording if no change is configured', () => {
    expect(soundCopies(off, 1).of(recording('a'), [tone], 1)).toEqual([tone]);
  });

  it('have noise between the two configured ratios', () => {
    for (let copy = 1; copy <= 20; copy++) {
      const [heard] = soundCopies({ ...off, snr: [5, 20] }, 1).of(recording('a'), [tone], copy);
      const noise = heard!.map((value, i) => value - tone[i]!);
      const snr = 10 * Math.log10(powerOf(tone) / powerOf(noise));
      expect(snr).toBeGreaterThanOrEqual(4.999);
      expect(snr).toBeLessThanOrEqual(20.001);
    }
  });

  const signal = {
    ...{ fields: ['sound'], rateHz, lowpassHz: null, resampleHz: rateHz },
    ...{ windowSamples: 2000, strideSamples: 2000, features: 'raw' as const },
  };

  it('come after their recording’s windows, under its ID', () => {
    const dataset = {
      name: 'd',
      fields: ['sound'],
      rateHz,
      recordings: [recording('a'), recording('b')],
      digest: '',
    };
    const truth = () => ({ class: 0, value: 0 });
    const plain = windowsOf(dataset, ['a', 'b'], signal, truth);
    const more = windowsOf(dataset, ['a', 'b'], signal, truth, soundCopies({ ...off, shift: 0.1 }, 1));
    expect(plain.recordings).toEqual(['a', 'a', 'b', 'b']);
    expect(more.recordings).toEqual(['a', 'a', 'a', 'a', 'b', 'b', 'b', 'b']);
    expect(more.inputs.slice(0, 4000)).toEqual(plain.inputs.slice(0, 4000));
    expect(more.inputs.slice(4000, 8000)).not.toEqual(plain.inputs.slice(0, 4000));
  });

  it('are not created for a table or a split by window, which would put copies into several sets', () => {
    const { train } = parseProject(yaml('device'), 'aiot.yaml').model;
    const division = {
      ...{
        network: { output: { kind: 'classes' as const, count: 2 } },
        classes: { names: [], labels: {} },
        signal,
      },
      ...{ split: { by: 'device' as const, seed: 1, train: [], validation: [], test: [] }, parts: null },
    };
    const material = { dataset: { name: 'd', fields: [], rateHz, recordings: [], digest: '' }, rows: null };
    expect(forLearning(material, division, train).copies).toMatchObject({ count: 3 });
    const byWindow: Division = { ...division, split: { ...division.split, by: 'window' } };
    expect(forLearning(material, byWindow, train)).toBe(byWindow);
  });
});

const yaml = (split: string, sound = 'copies: 3, snr: [5, 20]') => `name: words
stream: { topic: sound, fields: { sound: { unit: FS } } }
signal: { rate: 8000, window: 2000, stride: 2000, features: logmel }
model: { labels: { yes: [yes], no: [no] }, split: ${split}, train: { augment: { sound: { ${sound} } } } }
`;

describe('model.train.augment.sound', () => {
  it.each([
    ['window', 'copies: 1', 'model.split'],
    ['device', 'snr: [20, 5]', 'lower ratio first'],
    ['device', 'reverb: 9', 'reverb'],
    ['device', 'nosie: 1', 'nosie'],
  ])('with split %s and { %s } is rejected', (split, sound, message) => {
    expect(() => parseProject(yaml(split, sound), 'aiot.yaml')).toThrow(message);
  });
});
