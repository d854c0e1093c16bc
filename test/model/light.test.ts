import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { root } from '../support/cli.js';

it('the model library loads without TensorFlow and LiteRT', () => {
  const program = `
    const { createRequire } = await import('node:module');
    await import(${JSON.stringify(join(root, 'src/lib/model/index.ts'))});
    const loaded = Object.keys(createRequire(import.meta.url).cache);
    process.stdout.write(String(loaded.filter((file) => /tensorflow|litert/.test(file)).length));
  `;
  const result = spawnSync(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', program], {
    cwd: root,
    encoding: 'utf8',
  });
  expect(result.stderr).toBe('');
  expect(result.stdout).toBe('0');
});
