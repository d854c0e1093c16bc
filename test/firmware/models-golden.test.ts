import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { golden } from '../../scripts/golden/models.js';
import { root } from '../support/cli.js';

it('the firmware’s models, vectors, and emitted C match freshly generated ones (npm run golden)', async () => {
  const files = await golden();
  expect([...files.keys()]).toContain('fixtures/emitted/motor/model.c');
  for (const [path, contents] of files) {
    const kept = readFileSync(join(root, 'firmware/test', path));
    expect(kept.equals(Buffer.from(contents)), path).toBe(true);
  }
}, 30_000);
