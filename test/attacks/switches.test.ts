import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const root = join(import.meta.dirname, '../../src');

/** Folders whose files may read the switches or pass them on. */
const known = [...['lib/device/update', 'lib/device/virtual'], 'lib/api/rollouts'];

it('no command, flag, setting or environment variable reaches the switches that disable checks', () => {
  const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((file) =>
    file.endsWith('.ts'),
  );
  const naming = files.filter((file) =>
    /\bunchecked\?[.:]|\bUpdateCheck\b/.test(readFileSync(join(root, file), 'utf8')),
  );
  expect(naming.length).toBeGreaterThan(3);
  expect(naming.filter((file) => !known.some((room) => file.startsWith(`${room}/`)))).toEqual([]);
  const within = naming.map((file) => readFileSync(join(root, file), 'utf8')).join('\n');
  expect(within).not.toMatch(/process\.env/);
});
