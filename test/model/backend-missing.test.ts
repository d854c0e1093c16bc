import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { loadTfjs } from '../../src/lib/model/engine/tfjs/load.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-backend-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

it.each([
  ['cpu', '@tensorflow/tfjs-core@4 @tensorflow/tfjs-layers@4 @tensorflow/tfjs-backend-cpu@4'],
  [
    'wasm',
    '@tensorflow/tfjs-core@4 @tensorflow/tfjs-layers@4 @tensorflow/tfjs-backend-cpu@4 @tensorflow/tfjs-backend-wasm@4',
  ],
] as const)(
  'the %s backend names the packages to install if TensorFlow.js is missing',
  async (backend, packages) => {
    const place = pathToFileURL(join(folder, 'package.json')).href;
    await expect(loadTfjs(backend, [place])).rejects.toMatchObject({
      code: 'AIOT_BACKEND_MISSING',
      message: expect.stringContaining(`--backend ${backend} needs TensorFlow.js`),
      next: `Run \`npm install ${packages}\` (with --global if aiot is installed globally), or omit --backend to use the built-in engine.`,
    });
  },
);

it('the node backend reports that tfjs-node is not installed', async () => {
  const place = pathToFileURL(join(folder, 'package.json')).href;
  await expect(loadTfjs('node', [place])).rejects.toMatchObject({
    code: 'AIOT_BACKEND_MISSING',
    message: '@tensorflow/tfjs-node is not installed',
  });
});
