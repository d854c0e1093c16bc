import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { expect, it } from 'vitest';
import { root } from '../support/cli.js';
import { aloneFor, together, touchedBy } from '../support/together.js';

// In parts: this file itself has nothing of it.
const cases = [
  ['fake modules', `v${'i'}.mock('../x.js');`],
  ['modules that are loaded again', `v${'i'}.resetModules();`],
  ['the whole environment', `${'proc'}ess.env = {};`],
  ['the folder', `${'proc'}ess.chdir(folder);`],
  ['signals', `${'proc'}ess.on('SIGINT', end);`],
  ['the process, imported', `import ${'proc'}ess from 'node:${'proc'}ess';`],
  ['what all have', `${'global'}This.fetch = fake;`],
  ['the clock', `${'Date'}.now = () => 0;`],
  ['what a class does', `Socket.${'proto'}type.write = fake;`],
  ['time that is measured', `const begun = ${'perfor'}mance.now();`],
];

it.each(cases)('a test that has to do with %s has a process to itself', (_, text) => {
  expect(touchedBy(text)).toBeTypeOf('string');
});

it.each([
  ['computes', 'expect(f(1)).toBe(2);'],
  ['asks where it is', `if (${'proc'}ess.platform === 'linux') f(${'proc'}ess.execPath);`],
  ['asks how long it may take', `const long = ${'proc'}ess.env.AIOT_LONG === '1';`],
  ['changes the environment', `${'proc'}ess.env.AIOT_CONFIG_DIR = folder;\n${'proc'}ess.env[name] = '1';`],
  ['has timers of its own', `v${'i'}.useFakeTimers();`],
  ['runs programs', `import { spawn } from 'node:${'child'}_process';\n${'proc'}ess.kill(child.pid);`],
  ['speaks of it', `// ${'proc'}ess.env is another's\n/** ${'proc'}ess.exit */`],
])('a test that %s shares one', (_, text) => {
  expect(touchedBy(text)).toBeUndefined();
});

it('counts what a test imports of others, and what those import', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'aiot-together-'));
  try {
    const file = join(folder, 'a.test.ts');
    const imports = (path: string) =>
      writeFile(file, `import { x } from '${relative(folder, join(root, 'test', path))}';`);
    await imports('support/real.js');
    expect(aloneFor(file)).toBeTypeOf('string');
    await imports('support/cli.js');
    expect(aloneFor(file)).toBeUndefined();
  } finally {
    await rm(folder, { recursive: true });
  }
});

it('is for more than a third of the files, and for none that has real parts', () => {
  expect(together.length).toBeGreaterThan(180);
  expect(together).toContain('test/house/together.test.ts');
  expect(together.filter((name) => name.includes('.real.'))).toEqual([]);
});
