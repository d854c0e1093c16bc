import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { type CliResult, lastJson, root } from './cli.js';

/**
 * As `runCli`, but in a process of its own, for commands that compute for minutes: vitest fails a test file that does not answer its main
 * process for a minute.
 */
export function runProgram(argv: string[], timeoutMs: number): Promise<CliResult> {
  const options = { timeout: timeoutMs, killSignal: 'SIGKILL', maxBuffer: 2 ** 26 } as const;
  return new Promise((resolve) => {
    const program = join(root, 'bin', 'run.js');
    const child = execFile(process.execPath, [program, ...argv], options, (_error, stdout, stderr) => {
      resolve({ stdout, stderr, json: lastJson(stdout), code: child.exitCode ?? -1 });
    });
  });
}
