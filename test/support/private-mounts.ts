import { spawnSync } from 'node:child_process';

/**
 * Options of `unshare` for mounts that only its program sees, either directly as root, or as root of a new user
 * namespace.
 */
export function privateMounts(): string[] {
  return process.getuid?.() === 0 && spawnSync('unshare', ['-m', 'true']).status === 0 ? ['-m'] : ['-rm'];
}
