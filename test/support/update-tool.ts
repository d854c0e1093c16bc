import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from './cli.js';

/** firmware/test/update_tool.c, built with sanitizers. */
export interface UpdateTool {
  /** What it prints for this input, line by line. */
  run(args: string[], input?: string): string[];
  remove(): void;
}

/** @throws when it does not compile */
export function buildUpdateTool(): UpdateTool {
  const build = mkdtempSync(join(tmpdir(), 'aiot-update-tool-'));
  execFileSync('cmake', ['-S', join(root, 'firmware'), '-B', build]);
  const made = spawnSync('cmake', ['--build', build, '--target', 'update_tool', '--parallel', '2'], {
    encoding: 'utf8',
  });
  if (made.status !== 0) throw new Error(`${made.stdout}${made.stderr}`);
  return {
    run(args, input = '') {
      const output = execFileSync(join(build, 'update_tool'), args, {
        input,
        encoding: 'utf8',
        maxBuffer: 1 << 26,
      });
      return output.split('\n').slice(0, -1);
    },
    remove: () => rmSync(build, { recursive: true, force: true }),
  };
}
