import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { type Config, Config as OclifConfig } from '@oclif/core';
import { AiotError } from '../../src/lib/core/errors.js';

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

export interface CliResult {
  stdout: string;
  stderr: string;
  /** The last line of stdout parsed as JSON, if it is valid JSON. */
  json: unknown;
  code: number;
}

let config: Promise<Config> | undefined;

/** Returns the command file for the first words of argv, and how many words name it. */
function commandFile(argv: string[]): { file: string; words: number } {
  for (const words of [3, 2, 1]) {
    const path = join(root, 'src', 'commands', ...argv.slice(0, words));
    // A topic alone runs its list command.
    for (const file of [`${path}.ts`, join(path, 'index.ts'), join(path, 'list.ts')]) {
      if (argv.length >= words && existsSync(file)) return { file, words };
    }
  }
  throw new AiotError('AIOT_USAGE', `no such command: ${argv.join(' ')}`);
}

/** Runs a command from src/ in this process, as `aiot ARGV` would, and captures its output and exit code. */
export async function runCli(argv: string[]): Promise<CliResult> {
  config ??= OclifConfig.load({ root });
  const { file, words } = commandFile(argv);
  const { default: command } = await import(pathToFileURL(file).href);
  const streams = { stdout: '', stderr: '' };
  const write = { stdout: process.stdout.write, stderr: process.stderr.write };
  for (const name of ['stdout', 'stderr'] as const) {
    process[name].write = ((chunk: string | Uint8Array) => {
      streams[name] += typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString('utf8');
      return true;
    }) as typeof process.stdout.write;
  }
  const before = process.exitCode;
  process.exitCode = undefined;
  try {
    await command.run(argv.slice(words), await config);
    const code = Number(process.exitCode ?? 0);
    return { ...streams, json: lastJson(streams.stdout), code };
  } finally {
    process.stdout.write = write.stdout;
    process.stderr.write = write.stderr;
    process.exitCode = before;
  }
}

export function lastJson(stdout: string): unknown {
  try {
    return JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '');
  } catch {
    return undefined;
  }
}
