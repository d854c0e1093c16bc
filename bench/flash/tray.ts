// The simulated boards' process, as the bench speaks to it.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { root } from '../harness/process.js';

export interface Tray {
  /** Ptys, a board each. */
  ports: string[];
  /** Whether each board held the file; all are in their ROM afterwards, and blank if asked. */
  next(file: string, offset: number, blank: boolean): Promise<boolean[]>;
  close(): Promise<void>;
}

/** Boards in a process of their own, as other machines' would be: what they compute is not the tools' time. */
export async function openTray(chip: string, count: number, timing: 'instant' | 'uart'): Promise<Tray> {
  const script = join(root, 'bench', 'flash', 'boards.ts');
  const child: ChildProcess = spawn(process.execPath, ['--import', 'tsx', script, chip, `${count}`, timing], {
    cwd: root,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface(child.stdout!)[Symbol.asyncIterator]();
  const answer = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error('the simulated boards ended');
    return JSON.parse(value as string);
  };
  const ports = (await answer()) as string[];
  return {
    ports,
    async next(file, offset, blank) {
      child.stdin!.write(`${JSON.stringify({ file, offset, blank })}\n`);
      return (await answer()) as boolean[];
    },
    async close() {
      child.stdin!.end();
      if (child.exitCode === null) await once(child, 'exit');
    },
  };
}
