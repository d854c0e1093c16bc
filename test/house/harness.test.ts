import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { Area, Bench } from '../../bench/harness/area.js';
import { runCases } from '../../bench/harness/cases.js';
import { exponent, type Figure, judge, type Result } from '../../bench/harness/figure.js';
import { line, tables } from '../../bench/harness/table.js';
import { root } from '../support/cli.js';

const bench: Bench = {
  quick: false,
  folder: () => {
    throw new Error('no folder is needed here');
  },
};
const figure: Figure = {
  ...{ name: 'write', unit: 's', ours: [1, 3, 2], goal: 0.5 },
  peer: { name: 'other', version: '1.2.3', rounds: [4, 4, 4] },
};

describe('a benchmark metric', () => {
  it('is the median of the rounds, and its ratio is the median of the pairs', () => {
    expect(judge('area', figure, false)).toMatchObject({
      ...{ area: 'area', name: 'write', ours: 2, peer: 4, peerName: 'other', peerVersion: '1.2.3' },
      ...{ ratio: 0.5, spread: [0.25, 0.75], rounds: 3, goal: 0.5, limit: 0.5, ok: true },
    });
  });

  it.each<[string, Partial<Figure>, boolean, boolean]>([
    ['at its goal', {}, false, true],
    ['above its goal', { goal: 0.49 }, false, false],
    ['above its goal in a quick run', { goal: 0.49 }, true, true],
    ['above the tolerance of a quick run', { goal: 0.24 }, true, false],
    ['above its goal in a quick run without tolerance', { goal: 0.49, slack: 1 }, true, false],
    ['above its goal if higher is better', { goal: 0.49, better: 'higher' }, false, true],
    ['below its goal if higher is better', { goal: 0.51, better: 'higher' }, false, false],
    ['without a peer, at its absolute limit', { peer: undefined, goal: 2 }, false, true],
    ['without a peer, above its absolute limit', { peer: undefined, goal: 1.9 }, false, false],
    ['with a peer that has no results', { peer: { name: 'other', rounds: [] } }, false, false],
    ['with a failure', { fails: 'lost messages' }, false, false],
  ])('is judged correctly %s', (_, change, quick, ok) => {
    expect(judge('area', { ...figure, ...change }, quick).ok).toBe(ok);
  });

  it('grows by an exponent that is the slope of the logarithms', () => {
    const points = [10, 100, 1000].map((size) => ({ size, cost: 3 * size ** 1.5 }));
    expect(exponent(points)).toBeCloseTo(1.5, 10);
  });
});

it('the benchmark harness lists missing programs, and continues after a case that throws', async () => {
  const area: Area = {
    about: 'three cases',
    cases: {
      missing: {
        peer: 'other',
        needs: [{ name: 'other', install: 'apt-get install other', isThere: () => false }],
        run: () => [figure],
      },
      broken: { run: () => Promise.reject(new Error('a broker ended')) },
      fine: { run: () => [figure] },
      unasked: { run: () => [figure] },
    },
  };
  const results: Result[] = [];
  const only = ['missing', 'broken', 'fine'];
  await runCases({ name: 'area', area, only }, bench, (result) => results.push(result));
  expect(results.map(({ name, ok, error }) => [name, ok, error])).toEqual([
    ['missing', false, 'no other here; apt-get install other installs it'],
    ['broken', false, 'a broker ended'],
    ['write', true, undefined],
  ]);
  const machine = {
    cores: 2,
    processor: 'EPYC',
    memoryGiB: 24,
    node: '20.0.0',
    date: '2026-11-22',
    load: 0.1,
  };
  expect(tables(results, machine)).toBe(`2026-11-22: 2 × EPYC, 24 GiB, Node 20.0.0; load before 0.1

## area

| case | aiot | peer | ratio | spread | limit | |
| --- | --: | --- | --: | --: | --: | --- |
| missing | – | other | – | – | – | **behind**: no other here; apt-get install other installs it |
| broken | – | – | – | – | – | **behind**: a broker ended |
| write | 2 s | other 1.2.3 4 s | × 0.5 | 0.25–0.75 | ≤ × 0.5 | ok |`);
  expect(line(results[2]!)).toBe('ok     area, write: 2 s; other 4 s; × 0.5 (0.25 to 0.75); at most × 0.5');
});

describe('npm run bench', () => {
  const temporary = mkdtempSync(join(tmpdir(), 'aiot-bench-test-'));
  afterAll(() => rmSync(temporary, { recursive: true, force: true }));

  const start = (...args: string[]) =>
    spawn(process.execPath, [join(root, 'bench', 'run.js'), ...args], {
      cwd: root,
      env: { ...process.env, TMPDIR: temporary },
      stdio: ['ignore', 'pipe', 'pipe'],
    });

  it('prints one JSON object', { timeout: 120_000 }, async () => {
    const child = start('--quick', '--json', '--only', 'install/package');
    let out = '';
    child.stdout.on('data', (text) => {
      out += text;
    });
    child.stderr.resume();
    expect(await once(child, 'close')).toEqual([0, null]);
    expect(out.trim().split('\n')).toHaveLength(1);
    const { results, behind } = JSON.parse(out) as { results: Result[]; behind: number };
    expect(behind).toBe(0);
    expect(results).toHaveLength(3);
    for (const result of results)
      expect(result).toMatchObject({ area: 'install', peer: null, peerName: null, ratio: null, ok: true });
  });

  it.each([
    ['nowhere', 'unknown area nowhere; known: start, '],
    ['start/nothing', 'unknown case nothing in start; known: programs'],
  ])('rejects --only %s', { timeout: 60_000 }, async (only, said) => {
    const child = start('--only', only);
    let heard = '';
    child.stderr.on('data', (text) => {
      heard += text;
    });
    expect(await once(child, 'close')).toEqual([2, null]);
    expect(heard).toContain(said);
  });

  it('leaves nothing behind when terminated', { timeout: 120_000 }, async () => {
    const child = start('--quick', '--only', 'pipeline/small');
    const started = await descendants(child, 3);
    child.kill('SIGTERM');
    await once(child, 'exit');
    await expect.poll(() => started.filter(isRunning), { timeout: 10_000 }).toEqual([]);
    // tsx stores its compiled files there.
    expect(readdirSync(temporary).filter((name) => !name.startsWith('tsx-'))).toEqual([]);
  });
});

/**
 * Returns the descendants of a process, once there are at least `count`: the area's own process, and those it started.
 */
async function descendants(child: ChildProcess, count: number): Promise<number[]> {
  let all: number[] = [];
  await expect
    .poll(
      () => {
        all = childrenOf(child.pid!);
        return all.length;
      },
      { timeout: 100_000, interval: 50 },
    )
    .toBeGreaterThanOrEqual(count);
  return all;
}

function childrenOf(pid: number): number[] {
  try {
    const own = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
      .trim()
      .split(' ')
      .filter(Boolean)
      .map(Number);
    return own.flatMap((one) => [one, ...childrenOf(one)]);
  } catch {
    return [];
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
