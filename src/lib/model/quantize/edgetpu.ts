import { execFile } from 'node:child_process';
import { access, constants, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import type { z } from 'zod';
import { digestOf } from '../../core/crypto.js';
import { AiotError, unless } from '../../core/errors.js';
import { readBytes, readJson, writeFileAtomic, writeJsonAtomic } from '../../core/files.js';
import { edgeTpuSchema } from './result.js';

export type EdgeTpu = z.output<typeof edgeTpuSchema>;

const program = 'edgetpu_compiler';
/** Name of the compiler's operator, which the compiled file has to contain. */
const customOp = 'edgetpu-custom-op';
/** It gives up after three minutes by itself. */
const timeoutMs = 240_000;

/** The compiler's path. @throws AIOT_PROGRAM_NOT_FOUND */
export async function requireCompiler(path = process.env.PATH ?? ''): Promise<string> {
  for (const folder of path.split(delimiter)) {
    const file = join(folder, program);
    const found =
      folder !== '' &&
      (await access(file, constants.X_OK).then(
        () => true,
        () => false,
      ));
    if (found) return file;
  }
  throw new AiotError(
    'AIOT_PROGRAM_NOT_FOUND',
    `no ${program} on the PATH, which compiles for the Edge TPU`,
    {
      next: `Install Coral's edgetpu-compiler (Debian on x86-64 alone), or copy the int8 file to such a machine and run there: ${program} -s FILE`,
    },
  );
}

/** Where a network compiled for the Edge TPU lies, beside the one it was made of. */
function edgeTpuFile(file: string): string {
  return join(dirname(file), `${basename(file).replace(/\.tflite$/i, '')}_edgetpu.tflite`);
}

/**
 * Compiles an int8 .tflite file: NAME_edgetpu.tflite, and NAME_edgetpu.json that says what it was made of.
 * @param options.out instead of beside the file
 * @throws AIOT_EDGETPU_FAILED, AIOT_PROGRAM_NOT_FOUND, AIOT_FILE_NOT_FOUND, AIOT_FILE_NOT_WRITABLE
 */
export async function compileEdgeTpu(
  file: string,
  options: { compiler?: string; out?: string; signal?: AbortSignal | undefined } = {},
): Promise<EdgeTpu> {
  const compiler = options.compiler ?? (await requireCompiler());
  const from = digestOf(await readBytes(file));
  const folder = await mkdtemp(join(tmpdir(), 'aiot-edgetpu-'));
  try {
    const { stdout } = await run(compiler, ['-s', '-o', folder, file], options.signal);
    const made = basename(edgeTpuFile(file));
    const bytes = await unless('AIOT_FILE_NOT_FOUND', readBytes(join(folder, made)));
    if (!bytes) throw failed(`it left no ${made}: ${lastLine(stdout)}`);
    if (!bytes.includes(customOp)) throw failed(`nothing of ${basename(file)} was mapped to the Edge TPU`);
    const out = options.out ?? edgeTpuFile(file);
    const result: EdgeTpu = {
      file: out,
      bytes: bytes.length,
      digest: digestOf(bytes),
      from,
      compiler: /Edge TPU Compiler version (\S+)/.exec(stdout)?.[1] ?? null,
      ops: operatorsIn(stdout),
    };
    await writeFileAtomic(out, bytes);
    await writeJsonAtomic(recordOf(out), result);
    return result;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** What was compiled of this network and lies in that file; null = nothing, or it was made of another one, or changed. */
export async function readEdgeTpu(file: string, from: string): Promise<Uint8Array | null> {
  const read = edgeTpuSchema.safeParse(await readJson(recordOf(file)).catch(() => null));
  if (!read.success || read.data.from !== from) return null;
  const bytes = await unless('AIOT_FILE_NOT_FOUND', readBytes(file));
  return bytes && digestOf(bytes) === read.data.digest ? bytes : null;
}

function recordOf(file: string): string {
  return file.replace(/\.tflite$/i, '.json');
}

/** Lines of the table `Operator  Count  Status` (coral.ai/docs/edgetpu/compiler), which -s prints. */
function operatorsIn(log: string): EdgeTpu['ops'] {
  const after = log.slice(Math.max(0, log.search(/^Operator\s+Count\s+Status/m)));
  return [...after.matchAll(/^([A-Z][A-Z0-9_]*)\s+(\d+)\s+(\S.*?)\s*$/gm)].map(
    ([, op = '', count, status = '']) => ({
      op,
      count: Number(count),
      onTpu: status === 'Mapped to Edge TPU',
      status,
    }),
  );
}

async function run(compiler: string, args: string[], signal: AbortSignal | undefined) {
  try {
    return await promisify(execFile)(compiler, args, { timeout: timeoutMs, ...(signal ? { signal } : {}) });
  } catch (error) {
    signal?.throwIfAborted();
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
    throw failed(
      lastLine(stderr || stdout) || (error instanceof Error ? error.message : String(error)),
      error,
    );
  }
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1)?.trim() ?? '';
}

function failed(reason: string, cause?: unknown): AiotError {
  return new AiotError('AIOT_EDGETPU_FAILED', `${program}: ${reason}`, { cause });
}
