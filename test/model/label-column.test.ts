import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { runCli } from '../support/cli.js';
import { linearFile } from './linear.js';
import { temporaryFolder } from './support.js';

const csv = `x,y,state\n${Array.from({ length: 40 }, (_, i) => `${i % 2},${1 - (i % 2)},${i % 2}`).join('\n')}\n`;
const project = [
  'name: rows',
  'stream: { topic: motion, fields: { x: { unit: g, range: [-8, 8] } } }',
  'signal: { rate: 100, window: 100, stride: 50 }',
  'model: { kind: mlp, labels: { rest: [rest], walk: [walk] } }',
].join('\n');

async function folder() {
  const dir = await temporaryFolder();
  await writeFile(join(dir, 'rows.csv'), csv);
  await writeFile(
    join(dir, 'm.tflite'),
    linearFile(
      [
        [9, 0],
        [0, 9],
      ],
      [0, 0],
      'SOFTMAX',
    ),
  );
  return dir;
}

const refusal = {
  code: 'AIOT_DATA_COLUMNS',
  message: expect.stringMatching(
    /rows\.csv: no label column "stat"; its columns are x, y, state\. Did you mean state\?$/,
  ),
  next: 'Specify the label column: --label state',
};

/** Each command that accepts --label together with rows. */
const commands: [name: string, argv: (dir: string) => string[]][] = [
  ['train', (dir) => ['train', '--project', dir]],
  ['train of an autoencoder', (dir) => ['train', '--project', dir, '--kind', 'autoencoder']],
  ['evaluate FILE', (dir) => ['evaluate', join(dir, 'm.tflite')]],
  ['quantize FILE', (dir) => ['quantize', join(dir, 'm.tflite'), '--out', join(dir, 'q.tflite')]],
  ['compare', (dir) => ['compare', join(dir, 'm.tflite'), join(dir, 'm.tflite')]],
  ['explain', (dir) => ['explain', join(dir, 'm.tflite')]],
];

describe('an unknown --label column', () => {
  it.each(commands)('is rejected by model %s, suggesting the right column', async (_, argv) => {
    const dir = await folder();
    const rows = ['--data', join(dir, 'rows.csv'), '--label', 'stat', '--json'];
    const { code, json } = await runCli(['model', ...argv(dir), ...rows]);
    expect(json).toMatchObject({ error: refusal });
    expect(code).toBe(2);
  });

  it('is rejected for recordings, which have their own labels', async () => {
    const dir = await temporaryFolder();
    await writeFile(join(dir, 'aiot.yaml'), project);
    const { json, code } = await runCli(['model', 'train', '--project', dir, '--label', 'nolabel', '--json']);
    expect(json).toMatchObject({
      error: {
        code: 'AIOT_USAGE',
        message: '--label names a column of a table, but this project has only recordings',
        next: 'Omit --label: each recording has its label. For a table, add --data FILE.csv.',
      },
    });
    expect(code).toBe(2);
  });
});
