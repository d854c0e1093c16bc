import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { seedOf } from '../../chaos/plan.js';
import { root } from '../support/cli.js';
import { runProgram } from '../support/programs.js';
import { describeReal } from '../support/real.js';

const chaos = (...args: string[]) =>
  runProgram(process.execPath, ['--import', 'tsx', join(root, 'chaos', 'run.ts'), ...args], {
    ...{ cwd: root, timeoutMs: 280_000 },
  });

describe('npm run chaos', () => {
  it('reports a broken guarantee, with the seed that reproduces its round', { timeout: 60_000 }, async () => {
    const { code, stdout, stderr } = await chaos('--rounds', '1', '--only', 'pipeline', '--sabotage');
    const { rounds, violations } = JSON.parse(stdout);
    expect({ code, rounds }, stderr).toEqual({ code: 1, rounds: 1 });
    expect(violations, stderr).toContainEqual({
      ...{ round: 1, seed: seedOf(1, 1), scenario: 'pipeline', invariant: 'no acknowledged data is lost' },
      detail: expect.stringContaining('0 was published instead of'),
    });
  });

  it.each([
    ['rollout', 'rollouts complete', /is paused/],
    ['delivery', 'no acknowledged data is lost', /^model pushes: pushed@1 was acknowledged as sha256:/],
    ['device', 'every device works', /^after a restart it boots \d+, not \d+$/],
  ])('detects the sabotage of the scenario %s', { timeout: 90_000 }, async (name, invariant, detail) => {
    const { code, stdout, stderr } = await chaos('--rounds', '1', '--only', name, '--sabotage');
    expect(code, stderr).toBe(1);
    const found = { scenario: name, invariant, detail: expect.stringMatching(detail) };
    expect(JSON.parse(stdout).violations, stderr).toContainEqual(expect.objectContaining(found));
  });
});

describeReal('nats-server', 'npm run chaos with replicas', () => {
  it('detects telemetry that is gone', { timeout: 300_000 }, async () => {
    const { code, stdout, stderr } = await chaos('--rounds', '1', '--only', 'replicas', '--sabotage');
    expect(code, stderr).toBe(1);
    const detail = expect.stringMatching(/^telemetry: kill-\d has no recording r\d+ in killed$/);
    const found = { scenario: 'replicas', invariant: 'no acknowledged data is lost', detail };
    expect(JSON.parse(stdout).violations, stderr).toContainEqual(expect.objectContaining(found));
  });
});

describe('npm run soak', () => {
  it('reports a process that leaks memory and handles', { timeout: 60_000 }, async () => {
    const args = ['--import', 'tsx', join(root, 'chaos', 'soak', 'run.ts'), '--leak', '--for', '6s'];
    const { code, stdout, stderr } = await runProgram(process.execPath, args, { cwd: root });
    const { violations } = JSON.parse(stdout);
    expect(code, stderr).toBe(1);
    expect(violations).toEqual([
      { invariant: 'is flat', detail: expect.stringMatching(/^leak memory went from \d+.* to \d+/) },
      { invariant: 'is flat', detail: expect.stringMatching(/^leak handles went from \d+.* to \d+/) },
    ]);
  });
});
