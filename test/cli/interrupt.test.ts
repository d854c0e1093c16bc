import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { root } from '../support/cli.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-interrupt-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

describe('an interrupted command', () => {
  it('reports the interruption and exits with 130 even if the signal comes twice, as under npx', async () => {
    const child = spawn(process.execPath, [
      ...[join(root, 'bin', 'dev.js'), 'demo', '--json', '--out', join(folder, 'demo')],
    ]);
    const ended = once(child, 'close');
    let stdout = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    for await (const line of createInterface({ input: child.stderr })) {
      if (!line.includes('2/10')) continue;
      child.kill('SIGINT');
      await sleep(5);
      child.kill('SIGINT');
      break;
    }
    child.stderr.resume();
    expect(await ended).toEqual([130, null]);
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'AIOT_INTERRUPTED' } });
  });

  it('reports how many messages a followed stream delivered, without an error', async () => {
    const child = spawn(process.execPath, [
      ...[join(root, 'bin', 'dev.js'), 'stream', 'tail', 'stdin:?format=lines', '--stats', '--json'],
    ]);
    const ended = once(child, 'close');
    const said = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const)
      child[name].setEncoding('utf8').on('data', (text: string) => {
        said[name] += text;
      });
    child.stdin.write('{"a":1}\n{"a":2}\n');
    while (!said.stderr.includes('Following')) await sleep(20);
    await sleep(1000);
    child.kill('SIGINT');
    expect(await ended).toEqual([130, null]);
    expect(said.stderr).toContain('stopped after 2 messages');
    expect(said.stderr).not.toContain('✗');
    expect(JSON.parse(said.stdout)).toMatchObject({ messages: 2 });
  });
});
