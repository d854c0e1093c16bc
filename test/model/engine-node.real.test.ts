import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { buildTrainable } from '../../src/lib/model/network/build.js';
import { runCli } from '../support/cli.js';
import { compareEngines, shapes } from '../support/engines.js';
import { describeReal, tfjsNode } from '../support/real.js';

describeReal('tfjs-node', 'training with TensorFlow for Node.js', () => {
  const before = process.cwd();
  const folder = mkdtempSync(join(tmpdir(), 'aiot-node-'));
  // It is found from the current folder, where a user would have installed it.
  beforeAll(() => process.chdir(tfjsNode));
  afterAll(() => {
    process.chdir(before);
    rmSync(folder, { recursive: true, force: true });
  });

  it.each(Object.entries(shapes))(
    'computes the same gradients for %s as the built-in engine',
    async (_name, [inputShape, layers]) => {
      const output = { kind: 'classes', count: 3 } as const;
      await compareEngines(
        buildTrainable({ kind: 'layers', inputShape, layers, output }, 1),
        'classes',
        1,
        'node',
      );
    },
  );

  it('is used and recorded by model train --backend node', async () => {
    const rows = join(folder, 'rows.csv');
    const lines = Array.from(
      { length: 60 },
      (_, i) => `${i % 7},${(i * 5) % 11},${i % 2 === 0 ? 'low' : 'high'}`,
    );
    writeFileSync(rows, ['a,b,label', ...lines].join('\n'));
    const project = join(folder, 'project');
    mkdirSync(project);
    // `--kind` prevents a linear model from replacing the network, which could happen on a table this small.
    const how = ['--data', rows, '--kind', 'mlp', '--epochs', '2', '--backend', 'node', '--json'];
    const { code, json } = await runCli(['model', 'train', '--project', project, ...how]);
    expect(code).toBe(0);
    expect(json).toMatchObject({ epochs: 2 });
    const training = JSON.parse(readFileSync(join(project, 'build', 'training.json'), 'utf8'));
    expect(training.backend).toBe('tfjs-node');
  }, 60_000);
});
