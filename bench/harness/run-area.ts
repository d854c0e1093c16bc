import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type AreaName, areas } from './area.js';
import { type Result, unmeasured } from './figure.js';
import { root } from './process.js';
import { endDescendants } from './tidy.js';

export interface AreaRun {
  name: AreaName;
  /** Of its cases; all where not given. */
  only?: readonly string[];
  quick: boolean;
  /** Its own is made in this one. */
  folder: string;
}

/**
 * An area in a process of its own, so that memory and handles of one are not the next one's; what it prints goes to stderr. It is ended,
 * and all that it started, when it takes too long.
 */
export async function runArea(
  { name, only, quick, folder: within }: AreaRun,
  onResult: (result: Result) => void,
): Promise<Result[]> {
  const folder = mkdtempSync(join(within, `${name}-`));
  const results: Result[] = [];
  const add = (result: Result) => {
    results.push(result);
    onResult(result);
  };
  const flags = [...(quick ? ['--quick'] : []), ...(only ? ['--only', only.join(',')] : [])];
  // The largest simulated rollouts take more memory than Node gives by itself.
  const node = ['--max-old-space-size=14000', '--import', 'tsx', join(import.meta.dirname, 'one.ts')];
  const child = spawn(process.execPath, [...node, name, folder, ...flags], {
    cwd: root,
    stdio: ['ignore', 2, 2, 'ipc'],
  });
  child.on('message', (result) => add(result as Result));
  const gone = new Promise<string | null>((resolve) => {
    child.once('error', ({ message }) => resolve(message));
    child.once('close', (code, signal) => resolve(code === 0 ? null : `it ended with ${code ?? signal}`));
  });
  const minutes = areas[name].minutes[quick ? 0 : 1];
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    if (child.pid === undefined) return;
    // Held first: it starts nothing more while what it started is ended.
    child.kill('SIGSTOP');
    endDescendants(child.pid);
    child.kill('SIGKILL');
  }, minutes * 60_000);
  const failure = await gone;
  clearTimeout(timer);
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  if (late) add(unmeasured(name, 'time', `it took more than ${minutes} min and was ended`));
  else if (failure !== null) add(unmeasured(name, 'end', failure));
  return results;
}
