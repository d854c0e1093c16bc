import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openLink } from '../../chaos/faults/link.js';
import { badlyPrinted } from '../../chaos/invariants/printed.js';
import { orphans } from '../../chaos/invariants/processes.js';
import { faultsOf, scenarioOf, seedOf } from '../../chaos/plan.js';
import { scenarios } from '../../chaos/scenarios/index.js';
import { root } from '../support/cli.js';
import { runProgram } from '../support/programs.js';

const chaos = (...args: string[]) =>
  runProgram(process.execPath, ['--import', 'tsx', join(root, 'chaos', 'run.ts'), ...args], { cwd: root });

/** What an invariant reports. */
function reported(look: (report: (invariant: string, detail: string) => void) => void): string[] {
  const told: string[] = [];
  look((invariant, detail) => told.push(`${invariant}: ${detail}`));
  return told;
}

describe('npm run chaos', () => {
  it('tells of a promise that is broken, with what does that round again', { timeout: 60_000 }, async () => {
    const { code, stdout, stderr } = await chaos('--rounds', '1', '--only', 'pipeline', '--sabotage');
    const { rounds, violations } = JSON.parse(stdout);
    expect({ code, rounds }, stderr).toEqual({ code: 1, rounds: 1 });
    expect(violations, stderr).toContainEqual({
      ...{ round: 1, seed: seedOf(1, 1), scenario: 'pipeline', invariant: 'nothing acknowledged is lost' },
      detail: expect.stringContaining('0 is published'),
    });
  });

  it('lists its scenarios, and refuses one that it does not have', async () => {
    const [list, unknown] = await Promise.all([chaos('--list'), chaos('--only', 'nothing')]);
    for (const { name, about } of scenarios) expect(list.stderr).toMatch(`${name.padEnd(12)}${about}`);
    expect(unknown.code).toBe(2);
    expect(unknown.stderr).toContain('no such scenario: nothing');
  });
});

describe('the plan of a run', () => {
  const here = () => true;

  it('is of its seed alone, and another one for another seed', () => {
    const planOf = (seed: number) =>
      Array.from({ length: 30 }, (_, i) => {
        const scenario = scenarioOf(scenarios, seed, i + 1);
        return [scenario.name, faultsOf(scenario, seedOf(seed, i + 1), here)];
      });
    expect(planOf(1)).toEqual(planOf(1));
    expect(planOf(2)).not.toEqual(planOf(1));
  });

  it('has every scenario in turn, and every fault of each before long', () => {
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

  it('leaves out what this machine cannot do', () => {
    const kinds = Array.from({ length: 300 }, (_, round) =>
      faultsOf(scenarios[0]!, seedOf(1, round), (part) => part !== 'mounts' && part !== 'cc'),
    ).flatMap((faults) => faults.map(({ kind }) => kind));
    expect(kinds).toContain('kill');
    expect(kinds).not.toContain('disk-full');
    expect(kinds).not.toContain('sync-error');
  });
});

describe('the invariants', () => {
  it('see a secret, any token, a stack and a bug in what was printed', () => {
    const see = (text: string) => reported((report) => badlyPrinted(text, ['a-secret-of-ours'], report));
    expect(see('all is well\n')).toEqual([]);
    expect(see('password=a-secret-of-ours')).toEqual([
      expect.stringMatching(/^no secret is printed: a-se… is in: password=\*\*\*$/),
    ]);
    expect(see(`aiot_${'x'.repeat(43)}`)).toHaveLength(1);
    expect(see('TypeError: x\n    at run (file:///app/dist/lib/a.js:1:2)')).toHaveLength(1);
    expect(see('AIOT_BUG: it broke')).toHaveLength(1);
  });

  it('see a process that goes on, and end it', async () => {
    const mark = `test-${process.pid}`;
    const child = spawn('sleep', ['60'], { env: { ...process.env, AIOT_CHAOS: mark } });
    const gone = once(child, 'exit');
    await once(child, 'spawn');
    await expect
      .poll(() => reported((report) => orphans(mark, report)))
      .toEqual(['no orphan process: sleep 60']);
    expect(await gone).toEqual([null, 'SIGKILL']);
    expect(reported((report) => orphans(mark, report))).toEqual([]);
  });
});

describe('a link', () => {
  it('hands bytes on in their order while it is slow, and ends in the middle of some where it truncates', async () => {
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
});
