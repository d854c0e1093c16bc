import { spawn } from 'node:child_process';
import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { root } from '../support/cli.js';

/** Runs the demo in a separate process, and interrupts it at the start of this step, counted from 1. */
export async function interruptedDemo(folder: string, step: number) {
  const out = await mkdtemp(join(folder, 'stop-'));
  const child = spawn(process.execPath, [join(root, 'bin', 'run.js'), 'demo', '--json', '--out', out]);
  let told = '';
  let stdout = '';
  let stopped = false;
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString('utf8');
  });
  child.stderr.on('data', (chunk: Buffer) => {
    told += chunk.toString('utf8');
    if (stopped || !told.includes(`✓ ${step - 1}/`)) return;
    stopped = child.kill('SIGINT');
  });
  const code = await new Promise((resolve) => child.once('close', resolve));
  return { code, told, stdout, out };
}
