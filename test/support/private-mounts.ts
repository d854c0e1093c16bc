import { spawnSync } from 'node:child_process';

/** Options of `unshare` for mounts that only its program sees: as root plainly, else as root of a namespace of its own. */
export function privateMounts(): string[] {
  return process.getuid?.() === 0 && spawnSync('unshare', ['-m', 'true']).status === 0 ? ['-m'] : ['-rm'];
}
