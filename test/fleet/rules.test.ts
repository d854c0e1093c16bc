import { describe, expect, it } from 'vitest';
import { type DeviceEvent, type DeviceState, deviceStep } from '../../src/lib/fleet/device.js';
import { countInference, emptyCounts, liveFigures } from '../../src/lib/fleet/live.js';

describe('a device', () => {
  it.each<[DeviceState, DeviceEvent, DeviceState | null]>([
    ['registered', 'certified', 'provisioned'],
    ['provisioned', 'seen', 'active'],
    ['active', 'suspend', 'suspended'],
    ['suspended', 'resume', 'active'],
    ['suspended', 'revoke', 'revoked'],
    ['revoked', 'resume', null],
    ['revoked', 'certified', null],
    ['suspended', 'seen', null],
    ['active', 'resume', null],
  ])('that is %s and receives "%s" becomes %s', (state, event, next) => {
    if (next) expect(deviceStep(state, event)).toBe(next);
    else expect(() => deviceStep(state, event)).toThrow(/does not accept the event/);
  });
});

describe('live metrics', () => {
  const classes = ['rest', 'walk'];
  const say = (recording: string | null, answers: [label: string, voted: string][], device = 'd1') => {
    for (const [label, voted] of answers) {
      countInference(counts, { device, recording, label, voted, latencyMs: latency++ });
    }
  };
  let counts = emptyCounts();
  let latency = 1;
  const truth = (_: string, recording: string) => ({ r1: 'rest', w1: 'walk' })[recording] ?? null;

  it('are computed against the ground truth, per window and after smoothing', () => {
    counts = emptyCounts();
    latency = 1;
    say('r1', [
      ['rest', 'rest'],
      ['rest', 'rest'],
      ['walk', 'rest'],
    ]);
    say('w1', [['walk', 'walk']], 'constructor');
    say('unknown', [['walk', 'walk']]);
    say(null, [['walk', 'walk']]);
    const figures = liveFigures(counts, classes, truth);
    expect(figures).toMatchObject({
      windows: 4,
      unlabelled: 2,
      accuracy: 0.75,
      confusion: [
        [2, 1],
        [0, 1],
      ],
      voted: { accuracy: 1, macroF1: 1 },
      devices: { d1: 5, constructor: 1 },
    });
    // The F1 of rest is 2·2/(3+2), and the F1 of walk is 2·1/(1+2).
    expect(figures.macroF1).toBeCloseTo((0.8 + 2 / 3) / 2, 12);
  });

  it('count an unknown class as wrong', () => {
    counts = emptyCounts();
    say('r1', [
      ['nonsense', 'rest'],
      ['rest', 'rest'],
    ]);
    expect(liveFigures(counts, classes, truth)).toMatchObject({ windows: 2, accuracy: 0.5 });
  });

  it('report latencies to within 2 %', () => {
    counts = emptyCounts();
    latency = 1;
    say(
      'r1',
      Array.from({ length: 100 }, () => ['rest', 'rest']),
    );
    const { p50, p99 } = liveFigures(counts, classes, truth).latencyMs;
    expect(p50 / 50).toBeCloseTo(1, 1);
    expect(Math.abs(p50 - 50)).toBeLessThanOrEqual(1.01);
    expect(Math.abs(p99 - 99)).toBeLessThanOrEqual(2);
  });

  it('are zero before the first inference', () => {
    expect(liveFigures(emptyCounts(), classes, truth)).toMatchObject({
      windows: 0,
      accuracy: 0,
      macroF1: 0,
      latencyMs: { p50: 0, p99: 0 },
    });
  });
});
