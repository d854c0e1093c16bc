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
  it('cleans up and exits with 130 though the signal comes twice, as it does below npx', async () => {
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
});
