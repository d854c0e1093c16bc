import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { expect, it } from 'vitest';
import { root } from '../support/cli.js';
import { aloneFor, together, touchedBy } from '../support/together.js';

// In parts, so that this file itself does not match.
const cases = [
  ['mocked modules', `v${'i'}.mock('../x.js');`],
  ['reloaded modules', `v${'i'}.resetModules();`],
  ['the whole environment', `${'proc'}ess.env = {};`],
  ['the working directory', `${'proc'}ess.chdir(folder);`],
  ['signals', `${'proc'}ess.on('SIGINT', end);`],
  ['the imported process object', `import ${'proc'}ess from 'node:${'proc'}ess';`],
  ['global objects', `${'global'}This.fetch = fake;`],
  ['the clock', `${'Date'}.now = () => 0;`],
  ['a class prototype', `Socket.${'proto'}type.write = fake;`],
  ['counted timers', `expect(v${'i'}.${'getTimer'}Count()).toBe(0);`],
  ['measured time', `const begun = ${'perfor'}mance.now();`],
];

it.each(cases)('a test that touches %s runs in a process of its own', (_, text) => {
  expect(touchedBy(text)).toBeTypeOf('string');
});

it.each([
  ['only computes', 'expect(f(1)).toBe(2);'],
  ['reads the platform', `if (${'proc'}ess.platform === 'linux') f(${'proc'}ess.execPath);`],
  ['reads whether long tests run', `const long = ${'proc'}ess.env.AIOT_LONG === '1';`],
  ['changes the environment', `${'proc'}ess.env.AIOT_CONFIG_DIR = folder;\n${'proc'}ess.env[name] = '1';`],
  ['uses fake timers', `v${'i'}.useFakeTimers();`],
  ['runs programs', `import { spawn } from 'node:${'child'}_process';\n${'proc'}ess.kill(child.pid);`],
  ['mentions the process in comments', `// ${'proc'}ess.env is another's\n/** ${'proc'}ess.exit */`],
])('a test that %s shares a process', (_, text) => {
  expect(touchedBy(text)).toBeUndefined();
});

it('a test’s transitive imports also determine whether it shares a process', async () => {
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

it('more than a third of the test files share a process, none of them with real parts', () => {
  expect(together.length).toBeGreaterThan(180);
  expect(together).toContain('test/house/together.test.ts');
  expect(together.filter((name) => name.includes('.real.'))).toEqual([]);
});
