import { existsSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';

const folders: string[] = [];
let before: string | undefined;

/** To be called in a file's top: contexts of nobody, and no folder left behind. */
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

/** A folder with these files. */
export async function projectOf(files: Record<string, string>): Promise<string> {
  const dir = await newFolder();
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(dir, path)), { recursive: true });
    await writeFile(join(dir, path), text);
  }
  return dir;
}

/** Adds to a number in a file; says in a file beside the project that it was run. */
const add = `import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
const [of, to, by, ran] = process.argv.slice(2);
appendFileSync(ran, process.env.AIOT_PIPELINE_STEP + '\\n');
const sum = Number(readFileSync(of, 'utf8')) + Number(by);
await new Promise((done) => setTimeout(done, Number(process.env.MILL_MS ?? 0)));
writeFileSync(to, String(sum));
console.log(JSON.stringify({ sum }));
`;

/** A project of four steps in the shape of a diamond: 1 → 11 → (111, 1011) → their sum's file. */
export async function mill(more = ''): Promise<{ dir: string; ran(): string[] }> {
  const dir = await projectOf({ 'seed.txt': '1', 'add.mjs': add });
  const ran = join(dir, '..', `${dir.split('/').at(-1)}.ran`);
  folders.push(ran);
  const step = (of: string, by: number) =>
    `run: [node, ./add.mjs, of, to, '${by}', '${ran}'], in: { of: ${of} }, out: { sum: to }`;
  await writeFile(
    join(dir, 'aiot.yaml'),
    `name: mill
pipeline:
  steps:
    - { name: first, ${step('seed.txt', 10)} }
    - { name: left, ${step('first.sum', 100)} }
    - { name: right, ${step('first.sum', 1000)} }
    - { name: last, ${step('left.sum', 10000)}, needs: [right], publish: { sum: out/sum.txt } }
${more}`,
  );
  return {
    dir,
    ran: () => (existsSync(ran) ? readFileSync(ran, 'utf8').trim().split('\n') : []),
  };
}
