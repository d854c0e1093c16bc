import { describe, expect, it } from 'vitest';
import { demoSummary } from '../../src/lib/cli/index.js';
import type { DemoResult } from '../../src/lib/demo/index.js';

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
    arenaBytes: 4096,
  },
  rollout: { devices: 4, committed: 4, rolledBack: 0, seconds: 2 },
  live: { windows: 100, accuracy: 0.97, macroF1: 0.97, latencyMs: { p50: 0.1, p99: 0.2 } },
  seconds: 20,
};

describe('the demo’s closing table', () => {
  it('says below each finding what to think of it, and leaves out mere remarks', () => {
    const text = demoSummary(result);
    expect(text).toContain('! Repeats tell the label.\n  The pipeline ends it.\n');
    expect(text).not.toContain('Rows repeat.');
  });

  it('quotes folders where a shell needs it', () => {
    expect(demoSummary(result)).toContain('aiot up --data "/tmp/my demo/platform" --new-token');
  });
});
