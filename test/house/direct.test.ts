import { existsSync, readFileSync, statSync } from 'node:fs';
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { directly } from '../../scripts/direct.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** A folder with these files. */
async function folderOf(files: Record<string, string>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'aiot-direct-'));
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), text);
  }
  return folder;
}

/** What a built file needs before it runs: itself and all that it imports, and those in turn. */
function needs(file: string, seen = new Set<string>()): Set<string> {
  if (seen.has(file)) return seen;
  seen.add(file);
  for (const [, from = ''] of readFileSync(file, 'utf8').matchAll(
    /^(?:import|export) (?:[^;'"]* from )?"(\.[^"]+)";/gm,
  ))
    needs(join(dirname(file), from), seen);
  return seen;
}

it('takes each thing from the file that makes it, by the name it has there', async () => {
  const folder = await folderOf({
    'room/index.js':
      "export { push as add } from './stack.js';\nexport * from './queue.js';\nexport { local } from './via.js';\n",
    'room/stack.js': 'export function push() {}\n',
    'room/queue.js': 'export class Queue {}\nexport const most = 3;\n',
    'room/via.js': "import { inner } from './inner.js';\nconst local = inner;\nexport { local };\n",
    'room/inner.js': 'export const inner = 1;\n',
    'user.js':
      "import { z } from 'zod';\nimport { add, local as mine,\n  Queue } from './room/index.js';\nexport { most } from './room/index.js';\nadd(mine, Queue, z);\n",
  });
  expect(directly(join(folder, 'user.js'))).toBe(
    "import * as z from 'zod';\nimport { push as add } from './room/stack.js'; import { local as mine } from './room/via.js'; import { Queue } from './room/queue.js';\nexport { most } from './room/queue.js';\nadd(mine, Queue, z);\n",
  );
});

it('refuses to build what imports a name that is not there', async () => {
  const folder = await folderOf({
    'index.js': 'export const one = 1;\n',
    'user.js': "import { two } from './index.js';\n",
  });
  expect(() => directly(join(folder, 'user.js'))).toThrow('./index.js has no two');
});

it('loads for a bridge what a bridge needs, and neither the platform nor all of Zod', () => {
  const command = join(root, 'dist', 'commands', 'stream', 'bridge.js');
  expect(existsSync(command)).toBe(true);
  const files = [...needs(command)];
  const rooms = files.flatMap((file) =>
    [...readFileSync(file, 'utf8').matchAll(/^\/\/ dist\/\.modules\/lib\/(\w+)\//gm)].map(([, room]) => room),
  );
  expect(rooms).toContain('stream');
  expect(rooms).not.toContain('platform');
  expect(rooms).not.toContain('flash');
  const bytes = files.reduce((sum, file) => sum + statSync(file).size, 0);
  // 3.7 MB when it came through the rooms' indexes, 0.6 MB now.
  expect(bytes).toBeLessThan(1_000_000);
});
