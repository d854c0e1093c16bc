import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openLoader } from '../../src/lib/flash/loader/open-loader.js';
import { openLine } from '../../src/lib/flash/port/open-line.js';
import { type CliResult, runCli } from './cli.js';
import { type FlashTool, hex, type Target } from './flash-tools.js';

let last: Promise<unknown> = Promise.resolve();

/** Runs one command at a time, because each captures this process's stdout. */
async function alone<T>(body: () => Promise<T>): Promise<T> {
  const turn = last.then(body);
  last = turn.catch(() => undefined);
  return turn;
}

/** Runs a command as a user would type it, with its defaults. Its resets have no effect on a line without DTR and RTS. */
async function session(target: Target, command: readonly string[]): Promise<CliResult> {
  const args = [
    ...[...command, '--port', target.port],
    ...(target.baud ? ['--baud', String(target.baud)] : []),
    ...(target.stub ? [] : ['--no-stub']),
    '--json',
  ];
  return alone(async () => {
    try {
      return await runCli(args);
    } catch (error) {
      throw new Error(`aiot ${args.join(' ')}: ${error instanceof Error ? error.message : error}`, {
        cause: error,
      });
    }
  });
}

async function done(target: Target, command: readonly string[]): Promise<Record<string, unknown>> {
  const { code, json, stdout, stderr } = await session(target, command);
  if (code !== 0) throw new Error(`aiot ${command.join(' ')} ended with ${code}:\n${stdout}\n${stderr}`);
  return json as Record<string, unknown>;
}

export const aiotTool: FlashTool = {
  name: 'aiot',
  async detect(target) {
    const { chip, mac } = await done(target, ['board', 'info']);
    return { chip: String(chip), mac: String(mac) };
  },
  /** The command compresses if and only if it uses the stub; for the other combinations, the loader is called directly. */
  async write(target, offset, file, compress) {
    if (compress !== target.stub) return writeByLoader(target, offset, file, compress);
    const { verified } = await done(target, [
      ...['flash', `${file}@${hex(offset)}`, '--chip', target.chip, '--verify'],
    ]);
    if (verified !== true) throw new Error('aiot flash verified nothing');
  },
  async verify(target, offset, file) {
    const { code, json, stderr } = await session(target, ['flash', 'verify', `${file}@${hex(offset)}`]);
    // Exit code 6 means that a check failed, which is a result here.
    if (code !== 0 && code !== 6) throw new Error(`aiot flash verify ended with ${code}: ${stderr}`);
    return (json as { equal: boolean }).equal;
  },
  async read(target, offset, length) {
    const folder = await mkdtemp(join(tmpdir(), 'aiot-read-'));
    try {
      const file = join(folder, 'read.bin');
      await done(target, ['board', 'read', hex(offset), hex(length), '--out', file]);
      return new Uint8Array(await readFile(file));
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
  async eraseRegion(target, offset, length) {
    await done(target, ['board', 'erase', '--yes', hex(offset), hex(length)]);
  },
  async eraseAll(target) {
    await done(target, ['board', 'erase', '--yes']);
  },
};

async function writeByLoader(target: Target, offset: number, file: string, compress: boolean): Promise<void> {
  const { chip, stub, baud = 115_200 } = target;
  const data = new Uint8Array(await readFile(file));
  const line = await openLine(target.port, { baud: 115_200 });
  const loader = await openLoader(line, {
    chip,
    stub,
    baud,
    before: 'default-reset',
    after: 'hard-reset',
  });
  try {
    await loader.write([{ offset, data, name: file }], { compress });
  } finally {
    await loader.end();
  }
}
