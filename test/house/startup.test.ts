import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { root } from '../support/cli.js';

it('the manifest is small and free of result schemas, because every start parses it', () => {
  const text = readFileSync(join(root, 'oclif.manifest.json'), 'utf8');
  const { commands } = JSON.parse(text) as { commands: Record<string, object> };
  expect(Object.keys(commands).length).toBeGreaterThan(150);
  expect(Object.keys(commands).filter((id) => 'result' in commands[id]!)).toEqual([]);
  // When this was written: 475 kB for 185 commands; 1.9 MB with the schemas.
  expect(text.length / Object.keys(commands).length).toBeLessThan(3500);
});
