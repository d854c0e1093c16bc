import { existsSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import { millFiles } from '../support/mill.js';

const folders: string[] = [];
let before: string | undefined;

/** Called at the top of a test file. Ensures that there are no contexts, and removes all folders afterward. */
export function tidyProjects(): void {
  beforeAll(async () => {
    before = process.env.AIOT_CONFIG_DIR;
    process.env.AIOT_CONFIG_DIR = await newFolder();
  });
  afterAll(async () => {
    if (before === undefined) delete process.env.AIOT_CONFIG_DIR;
    else process.env.AIOT_CONFIG_DIR = before;
    for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
  });
}

async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'aiot-pipeline-'));
  folders.push(folder);
  return folder;
}

/** Creates a folder with these files. */
export async function projectOf(files: Record<string, string>): Promise<string> {
  const dir = await newFolder();
  await writeFiles(dir, files);
  return dir;
}

async function writeFiles(dir: string, files: Record<string, string>): Promise<void> {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(dir, path)), { recursive: true });
    await writeFile(join(dir, path), text);
  }
}

/** Creates the project of `millFiles`; also returns the names that its steps recorded. */
export async function mill(more = ''): Promise<{ dir: string; ran(): string[] }> {
  const dir = await newFolder();
  const ran = `${dir}.ran`;
  folders.push(ran);
  await writeFiles(dir, millFiles(ran, more));
  return {
    dir,
    ran: () => (existsSync(ran) ? readFileSync(ran, 'utf8').trim().split('\n') : []),
  };
}
