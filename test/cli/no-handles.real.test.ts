import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { root } from '../support/cli.js';
import { runProgram } from '../support/programs.js';
import { describeReal } from '../support/real.js';

/** Loaded before the program, to leave only `LEFT` file handles free. */
const exhaust = `
const { execFileSync } = require('node:child_process');
const { closeSync, openSync } = require('node:fs');
execFileSync('prlimit', ['--pid', String(process.pid), '--nofile=40:']);
const all = [];
try { for (;;) all.push(openSync('/dev/null')); } catch {}
for (let i = 0; i < Number(process.env.LEFT); i++) closeSync(all.pop());
`;

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'aiot-handles-'));
  writeFileSync(join(folder, 'exhaust.cjs'), exhaust);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describeReal('prlimit', 'startup without free file handles', () => {
  const start = (left: number, ...words: string[]) =>
    runProgram(
      process.execPath,
      ['--require', join(folder, 'exhaust.cjs'), join(root, 'bin/run.js'), ...words],
      { env: { LEFT: String(left) } },
    );

  // With one handle, the program's first file cannot be loaded. With a few more, the code that shows errors cannot be
  // loaded.
  it.each([1, 2, 4, 8])('reports the cause and the fix with %d handles left for loading', async (left) => {
    const { code, stdout, stderr } = await start(left, 'error', 'AIOT_USAGE');
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(
      /^✗ AIOT_FILE_NOT_READABLE: EMFILE: too many open files, open '[^']+'\n {2}Try: Raise the limit of open files .+\n$/,
    );
  });

  it('reports the cause and the fix as one line of JSON', async () => {
    const { code, stdout, stderr } = await start(2, 'error', 'AIOT_USAGE', '--json');
    expect({ code, stderr }).toEqual({ code: 1, stderr: '' });
    expect(JSON.parse(stdout)).toEqual({
      error: {
        code: 'AIOT_FILE_NOT_READABLE',
        message: expect.stringContaining('EMFILE: too many open files'),
        next: expect.stringContaining('Raise the limit'),
        exit: 1,
      },
    });
  });
});
