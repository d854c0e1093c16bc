import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { root } from './cli.js';

/** firmware/test/update_tool.c, or another tool in that folder, built with sanitizers. */
export interface UpdateTool {
  /** Returns the lines that the tool, or another tool built with it, prints for this input. */
  run(args: string[], input?: string, program?: string): string[];
  /** Path of the tool, or of another tool built with it. */
  path(program?: string): string;
  remove(): void;
}

/** Builds a tool. Rejects if the build fails. Asynchronous, so that other tests can run in the meantime. */
export async function buildUpdateTool(target = 'update_tool', ...others: string[]): Promise<UpdateTool> {
  const build = mkdtempSync(join(tmpdir(), 'aiot-update-tool-'));
  const cmake = (...args: string[]) => promisify(execFile)('cmake', args);
  await cmake('-S', join(root, 'firmware'), '-B', build);
  await cmake('--build', build, '--target', target, ...others, '--parallel', '2');
  return {
    run(args, input = '', program = target) {
      const output = execFileSync(join(build, program), args, {
        input,
        encoding: 'utf8',
        maxBuffer: 1 << 26,
      });
      return output.split('\n').slice(0, -1);
    },
    path: (program = target) => join(build, program),
    remove: () => rmSync(build, { recursive: true, force: true }),
  };
}
