import { describe, expect, it } from 'vitest';
import { demoSummary } from '../../src/lib/cli/render/project.js';
import type { DemoResult } from '../../src/lib/demo/demo.js';

const result: DemoResult = {
  folder: '/tmp/my demo',
  report: '/tmp/my demo/report.html',
  platform: { http: 'https://127.0.0.1:1', mqtts: 'mqtts://127.0.0.1:2', dir: '/tmp/my demo/platform' },
  dataset: {
    recordings: 35,
    samples: 127_500,
    digest: 'sha256:0',
    findings: [
      { kind: 'repeats', severity: 'info', message: 'Rows repeat.', advice: 'Nothing to do.' },
      {
        kind: 'shortcut',
        severity: 'warning',
        message: 'Repeats tell the label.',
        advice: 'The pipeline ends it.',
      },
    ],
  },
  model: {
    name: 'har-imu',
    version: 1,
    digest: 'sha256:1',
    bytes: { float: 2048, int8: 1024 },
    accuracy: { float: 0.98, int8: 0.97 },
    macroF1: { float: 0.98, int8: 0.97, voted: 0.99 },
    interval: { low: 0.9, high: 0.99 },
    heldOut: { windows: 100, recordings: 10 },
    folds: {
      ...{ macroF1: 0.96, voted: 0.98, accuracy: 0.965, interval: { low: 0.92, high: 0.985 } },
      ...{ folds: 5, windows: 400, recordings: 35 },
    },
    originals: {
      ...{ macroF1: 0.95, voted: 0.97, accuracy: 0.951, interval: { low: 0.9, high: 0.98 } },
      ...{ folds: 5, windows: 2024, recordings: 53, datasetDigest: 'sha256:2', configDigest: 'sha256:3' },
    },
    arenaBytes: 4096,
  },
  rollout: { devices: 4, committed: 4, rolledBack: 0, seconds: 2 },
  live: { windows: 100, accuracy: 0.97, macroF1: 0.97, latencyMs: { p50: 0.1, p99: 0.2 } },
  seconds: 20,
};

describe('the demo’s summary table', () => {
  it('counts and lists all findings, with advice below those that need an action', () => {
    const text = demoSummary(result);
    expect(text).toContain('Data check: 1 warning, 1 remark\ni Rows repeat.\n! Repeats tell');
    expect(text).toContain('! Repeats tell the label.\n  The pipeline ends it.\n');
    expect(text).not.toContain('Nothing to do.');
  });

  it('shows the confidence intervals of the metrics, and marks stored metrics', () => {
    const text = demoSummary(result);
    expect(text).toContain('97 % of 100 windows in 10 recordings (95 %: 90–99)');
    expect(text).toContain(
      '96.5 % of 400 windows in 35 recordings (95 %: 92–98.5), macro-F1 0.960, 0.980 smoothed; 5 folds, float',
    );
    expect(text).toMatch(
      /95\.1 % of 2,024 windows in 53 recordings.*\n +the uncut recordings are harder; this result is stored, not recomputed/,
    );
    const own = { ...result, model: { ...result.model, folds: null, originals: null } };
    expect(demoSummary(own)).not.toMatch(/stored|folds/);
  });

  it('shows the dashboard address and the command to restart on the same ports', () => {
    const text = demoSummary(result);
    expect(text).toContain('https://127.0.0.1:1/ (log in with the link that the first command below prints');
    expect(text).toContain('aiot up --data "/tmp/my demo/platform" --http-port 1 --mqtt-port 2 --new-token');
  });
});
