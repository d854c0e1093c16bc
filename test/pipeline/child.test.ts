import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { root } from '../support/cli.js';
import { runProgram } from '../support/programs.js';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-child-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const program = `
import { openSync } from 'node:fs';
import { runChild } from ${JSON.stringify(pathToFileURL(join(root, 'src/lib/pipeline/run/processes.ts')).href)};
import { setTimeout as delay } from 'node:timers/promises';
// The module loader may hold handles and release them only later, so those are taken as well.
for (let opened = 1; opened > 0; await delay(100)) {
  opened = 0;
  try { for (;; opened += 1) openSync('/dev/null', 'r'); } catch {}
}
const end = await runChild({
  command: ['true'],
  folder: ${JSON.stringify(tmpdir())},
  log: process.env.FOLDER + '/log',
  env: process.env,
  timeoutMs: null,
  signal: new AbortController().signal,
  self: [],
  onStart() {},
  onLine() {},
});
process.stdout.write(JSON.stringify(end.ended));
`;

it('a pipeline runner without a free file handle reports that a step could not be started', async () => {
  const node = `"${process.execPath}" --import tsx --input-type=module --eval "$PROGRAM"`;
  const result = await runProgram('sh', ['-c', `ulimit -n 128; exec ${node}`], {
    cwd: root,
    env: { PROGRAM: program, FOLDER: folder },
  });
  expect({ code: result.code, stdout: result.stdout }, result.stderr).toEqual({
    code: 0,
    stdout: JSON.stringify({ by: 'start', code: 'EMFILE' }),
  });
});
