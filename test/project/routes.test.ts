import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { findTemplates } from '../../src/lib/project/templates.js';
import { runCli } from '../support/cli.js';

describe('template routes', () => {
  it('pass their test cases', async () => {
    const files = (await findTemplates())
      .map(({ dir }) => join(dir, 'routes.yaml'))
      .filter((file) => existsSync(file));
    expect(files.length).toBeGreaterThan(0);
    for (const file of files) {
      const { code, stdout, stderr } = await runCli(['stream', 'route', 'test', file]);
      expect(code, stdout + stderr).toBe(0);
    }
  });
});
