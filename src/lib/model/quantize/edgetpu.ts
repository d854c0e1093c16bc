import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import type { z } from 'zod';
import { digestOf } from '../../core/crypto.js';
import { AiotError, unless } from '../../core/errors.js';
import { readBytes, readJson, writeFileAtomic, writeJsonAtomic } from '../../core/files.js';
import { findProgram, runProgram } from '../../core/process.js';
import { edgeTpuSchema } from './result.js';

type EdgeTpu = z.output<typeof edgeTpuSchema>;

const program = 'edgetpu_compiler';
/** Name of the compiler's operator, which the compiled file must contain. */
const customOp = 'edgetpu-custom-op';
/** Slightly longer than the compiler's own limit of three minutes. */
const timeoutMs = 240_000;

/** The compiler's path. @throws AIOT_PROGRAM_NOT_FOUND */
export async function requireCompiler(path = process.env.PATH ?? ''): Promise<string> {
  const found = await unless('AIOT_PROGRAM_NOT_FOUND', findProgram(program, { PATH: path }));
  if (found !== undefined) return found;
  throw new AiotError('AIOT_PROGRAM_NOT_FOUND', `the Edge TPU compiler ${program} is not on the PATH`, {
    next: `Install Coral's edgetpu-compiler (Debian on x86-64 only), or copy the int8 file to such a machine and run ${program} -s FILE there.`,
  });
}

/** Path of a network compiled for the Edge TPU, beside the original network. */
function edgeTpuFile(file: string): string {
  return join(dirname(file), `${basename(file).replace(/\.tflite$/i, '')}_edgetpu.tflite`);
}

/**
 * Compiles an int8 .tflite file to NAME_edgetpu.tflite, and writes NAME_edgetpu.json, which identifies the original.
 * @param options.out path to use instead of the one beside the file
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
    const stdout = await run(compiler, ['-s', '-o', folder, file], options.signal);
    const made = basename(edgeTpuFile(file));
    const bytes = await unless('AIOT_FILE_NOT_FOUND', readBytes(join(folder, made)));
    if (!bytes) throw failed(`it did not write ${made}: ${lastLine(stdout)}`);
    if (!bytes.includes(customOp))
      throw failed(`no operator of ${basename(file)} was mapped to the Edge TPU`);
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

/** Reads the Edge TPU network beside `file`; null = missing, changed, or compiled from a network other than `from`. */
export async function readEdgeTpu(file: string, from: string): Promise<Uint8Array | null> {
  const read = edgeTpuSchema.safeParse(await readJson(recordOf(file)).catch(() => null));
  if (!read.success || read.data.from !== from) return null;
  const bytes = await unless('AIOT_FILE_NOT_FOUND', readBytes(file));
  return bytes && digestOf(bytes) === read.data.digest ? bytes : null;
}

function recordOf(file: string): string {
  return file.replace(/\.tflite$/i, '.json');
}

/** Rows of the table `Operator  Count  Status`, which the compiler prints with -s (coral.ai/docs/edgetpu/compiler). */
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

/** @returns the compiler's output */
async function run(compiler: string, args: string[], signal: AbortSignal | undefined): Promise<string> {
  const end = await runProgram(compiler, args, { timeoutMs, signal }).catch((error: Error) => {
    signal?.throwIfAborted();
    throw failed(error.message, error);
  });
  if (end.code === 0) return end.stdout;
  throw failed(lastLine(end.stderr || end.stdout) || `it exited with ${end.endedBy ?? `code ${end.code}`}`);
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1)?.trim() ?? '';
}

function failed(reason: string, cause?: unknown): AiotError {
  return new AiotError('AIOT_EDGETPU_FAILED', `${program}: ${reason}`, { cause });
}
