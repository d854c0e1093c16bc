import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openLink } from '../../chaos/faults/link.js';
import { badlyPrinted } from '../../chaos/invariants/printed.js';
import { orphans } from '../../chaos/invariants/processes.js';
import { faultsOf, scenarioOf, seedOf } from '../../chaos/plan.js';
import { isWhole } from '../../chaos/pushes.js';
import { settled } from '../../chaos/releases.js';
import { scenarios } from '../../chaos/scenarios/index.js';
import { courseOf } from '../../chaos/soak/judge.js';
import type { Operated } from '../platform/kills/harness.js';
import { root } from '../support/cli.js';
import { runProgram } from '../support/programs.js';

const chaos = (...args: string[]) =>
  runProgram(process.execPath, ['--import', 'tsx', join(root, 'chaos', 'run.ts'), ...args], { cwd: root });

/** Returns the violations that an invariant reports. */
function reported(look: (report: (invariant: string, detail: string) => void) => void): string[] {
  const told: string[] = [];
  look((invariant, detail) => told.push(`${invariant}: ${detail}`));
  return told;
}

describe('npm run chaos', () => {
  it('lists its scenarios, and rejects an unknown one', async () => {
    const [list, unknown] = await Promise.all([chaos('--list'), chaos('--only', 'nothing')]);
    for (const { name, about } of scenarios) expect(list.stderr).toMatch(`${name.padEnd(12)}${about}`);
    expect(unknown.code).toBe(2);
    expect(unknown.stderr).toContain('unknown scenario: nothing');
  });
});

describe('npm run soak', () => {
  it('detects a slow leak in noisy samples, but none in a program that only warms up', () => {
    const tolerance = { share: 0.1, atLeast: 16 };
    const course = (valueAt: (share: number) => number) =>
      courseOf(
        Array.from({ length: 60 }, (_, i) => ({ atMs: i * 1000, value: valueAt(i / 59) + (i % 5) })),
        tolerance,
      );
    expect(course((share) => 100 + 10 * share)).toMatchObject({ flat: true });
    expect(course((share) => Math.min(100, 400 * share))).toMatchObject({ flat: true });
    expect(course((share) => 100 + 60 * share)).toMatchObject({ flat: false });
    expect(() => courseOf([{ atMs: 0, value: 1 }], tolerance)).toThrow('too few samples');
  });
});

describe('the plan of a run', () => {
  const here = () => true;

  it('depends only on its seed, and differs for another seed', () => {
    const planOf = (seed: number) =>
      Array.from({ length: 30 }, (_, i) => {
        const scenario = scenarioOf(scenarios, seed, i + 1);
        return [scenario.name, faultsOf(scenario, seedOf(seed, i + 1), here)];
      });
    expect(planOf(1)).toEqual(planOf(1));
    expect(planOf(2)).not.toEqual(planOf(1));
  });

  it('covers every scenario in turn, and eventually every fault of each', () => {
    const names = scenarios.map((_, i) => scenarioOf(scenarios, 3, i + 1).name);
    expect(names.toSorted()).toEqual(scenarios.map(({ name }) => name).toSorted());
    for (const scenario of scenarios) {
      const possible = Object.entries(scenario.faults).flatMap(([target, kinds]) =>
        kinds.map((kind) => `${kind} ${target}`),
      );
      const drawn = Array.from({ length: 300 }, (_, round) =>
        faultsOf(scenario, seedOf(1, round), here).map(({ kind, target }) => `${kind} ${target}`),
      );
      expect([...new Set(drawn.flat())].toSorted()).toEqual(possible.toSorted());
    }
  });

  it('has the number and timing of faults that a scenario specifies', () => {
    const several = scenarios.find(({ name }) => name === 'delivery')!;
    const rounds = Array.from({ length: 300 }, (_, round) => faultsOf(several, seedOf(1, round), here));
    expect([...new Set(rounds.map(({ length }) => length))].toSorted()).toEqual([2, 3, 4, 5]);
    const latest = Math.max(...rounds.flat().map(({ atMs }) => atMs));
    expect(latest).toBeGreaterThan(5500);
    expect(latest).toBeLessThan(6000);
    expect(rounds.flat().every(({ kind }) => kind.startsWith('kill'))).toBe(true);
  });

  it('omits faults that this machine cannot produce', () => {
    const kinds = Array.from({ length: 300 }, (_, round) =>
      faultsOf(scenarios[0]!, seedOf(1, round), (part) => part !== 'mounts' && part !== 'cc'),
    ).flatMap((faults) => faults.map(({ kind }) => kind));
    expect(kinds).toContain('kill');
    expect(kinds).not.toContain('disk-full');
    expect(kinds).not.toContain('sync-error');
  });
});

describe('the invariants', () => {
  it('detect secrets, tokens, stack traces and bugs in the output', () => {
    const see = (text: string) => reported((report) => badlyPrinted(text, ['a-secret-of-ours'], report));
    expect(see('all is well\n')).toEqual([]);
    expect(see('password=a-secret-of-ours')).toEqual([
      expect.stringMatching(/^no secrets in output: a-se… is in: password=\*\*\*$/),
    ]);
    expect(see(`aiot_${'x'.repeat(43)}`)).toHaveLength(1);
    expect(see('TypeError: x\n    at run (file:///app/dist/lib/a.js:1:2)')).toHaveLength(1);
    expect(see('AIOT_BUG: it broke')).toHaveLength(1);
    // A stack trace from Node itself is tolerated only if Node could not open the program.
    const nodesOwn = (file: string, from: string) =>
      `node:fs:448\n  ^\n\nError: EMFILE: too many open files, open '/app/${file}'\n    at async open (${from})\n    at async readFile (node:internal/fs/promises:1249:14)\n {\n`;
    expect(see(nodesOwn('bin/run.js', 'node:internal/fs/promises:637:25'))).toEqual([]);
    expect(see(nodesOwn('dist/a.js', 'node:internal/fs/promises:637:25'))).toHaveLength(1);
    expect(see(nodesOwn('bin/run.js', 'file:///app/dist/a.js:1:1'))).toHaveLength(1);
  });

  it('detect a rollout that loses devices that had committed', async () => {
    const told: string[] = [];
    const courseOf = async (...committed: number[]) => {
      const left = [...committed];
      const get = async () => ({
        state: left.length > 1 ? 'running' : 'done',
        waves: [{ committed: left.shift() }, { committed: 0 }],
      });
      const platform = { client: { rollouts: { get } } } as unknown as Operated;
      const one = { id: 'rollout_1', version: 1, selector: 'all' };
      await settled(platform, one, (invariant, detail) => told.push(`${invariant}: ${detail}`));
    };
    await courseOf(0, 1, 1, 3);
    expect(told).toEqual([]);
    await courseOf(0, 3, 1, 3);
    expect(told).toEqual(['rollouts continue: rollout_1 had 3 committed devices, and has 1']);
  });

  it('detect partial and lost label pushes', () => {
    const last = { recordings: 2, last: 1 };
    expect(() => isWhole(['p1', 'p1'], last)).not.toThrow();
    // The second push was not acknowledged, so it may be present or absent.
    expect(() => isWhole(['p2', 'p2'], last)).not.toThrow();
    expect(() => isWhole(['p1', 'p2'], last)).toThrow('a push was stored only partly: p1, p2');
    expect(() => isWhole([null, null], last)).toThrow('the push p1 was acknowledged, but the label is null');
    expect(() => isWhole(['p1'], last)).toThrow('only 1 of 2 recordings exist');
  });

  it('detect a leftover process, and end it', async () => {
    const mark = `test-${process.pid}`;
    const child = spawn('sleep', ['60'], { env: { ...process.env, AIOT_CHAOS: mark } });
    const gone = once(child, 'exit');
    await once(child, 'spawn');
    await expect
      .poll(() => reported((report) => orphans(mark, report)))
      .toEqual(['no orphan processes: sleep 60']);
    expect(await gone).toEqual([null, 'SIGKILL']);
    expect(reported((report) => orphans(mark, report))).toEqual([]);
  });
});

describe('a link', () => {
  it('keeps bytes in order while it is slow, and cuts the connection midway when it is set to truncate', async () => {
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.pipe(socket);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const link = await openLink((server.address() as { port: number }).port);
    const { connect } = await import('node:net');
    const socket = connect(link.port, '127.0.0.1');
    let heard = '';
    socket.setEncoding('utf8').on('data', (text) => {
      heard += text;
    });
    const slow = link.delay?.(100);
    for (const word of ['one ', 'two ', 'three']) {
      socket.write(word);
      await new Promise((done) => setTimeout(done, 60));
    }
    await slow;
    await expect.poll(() => heard).toBe('one two three');
    const cut = link.truncate?.(200);
    const ended = once(socket, 'end');
    socket.write('0123456789');
    await ended;
    expect('one two three0123456789'.startsWith(heard)).toBe(true);
    expect(heard.length).toBeLessThan('one two three0123456789'.length);
    await cut;
    socket.destroy();
    await link.close();
    server.close();
  });

  it('to several ports connects to the next one that accepts, and closes the connection if none does', async () => {
    const { connect } = await import('node:net');
    const start = async (word: string) => {
      const server = createServer((socket) => {
        socket.on('error', () => {});
        socket.end(word);
      });
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      return { server, port: (server.address() as { port: number }).port };
    };
    const [one, two] = [await start('one'), await start('two')];
    const link = await openLink(one.port, two.port);
    const hear = async () => {
      const socket = connect(link.port, '127.0.0.1');
      let heard = '';
      socket.on('error', () => {});
      for await (const text of socket.setEncoding('utf8').iterator({ destroyOnReturn: true })) heard += text;
      return heard;
    };
    expect([await hear(), await hear(), await hear()]).toEqual(['one', 'two', 'one']);
    one.server.close();
    expect([await hear(), await hear()]).toEqual(['two', 'two']);
    two.server.close();
    await expect(hear()).rejects.toThrow('ECONNRESET');
    await link.close();
  });
});
