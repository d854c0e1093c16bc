/** Runs once before the suite: builds the program under test, and isolates tests from the user's own files. */
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { memoryFolder } from './memory-folder.js';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** Environment variables that configure the tests themselves. */
const forTests = ['AIOT_LONG', 'AIOT_TESTS_UNTIL', 'AIOT_ESP_QEMU', 'AIOT_GARAGE', 'AIOT_SCREENS'];

export default async function setup(): Promise<() => Promise<void>> {
  execFileSync(process.execPath, [join(root, 'scripts/ready.js')], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  if (memoryFolder !== undefined) await mkdir(memoryFolder, { recursive: true });
  const home = await mkdtemp(join(tmpdir(), 'aiot-home-'));
  for (const name of Object.keys(process.env)) {
    if (name.startsWith('AIOT_') && !forTests.includes(name)) delete process.env[name];
  }
  process.env.AIOT_CONFIG_DIR = join(home, 'config');
  process.env.AIOT_DATA_DIR = join(home, 'data');
  process.env.AIOT_CACHE_DIR = join(home, 'cache');
  return async () => {
    await rm(home, { recursive: true, force: true });
    if (memoryFolder !== undefined) await rm(memoryFolder, { recursive: true, force: true });
  };
}
