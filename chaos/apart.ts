import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';

/** Private mount and PID namespaces, which end with their first process. */
const namespaces = ['-m', '-p', '-f', '--mount-proc', '--kill-child'];

/**
 * Runs this program again in its own namespaces and returns its exit code; undefined if it already runs in them, or lacks root
 * permission.
 */
export async function apart(): Promise<number | undefined> {
  if (process.env.AIOT_CHAOS_APART || process.getuid?.() !== 0) return undefined;
  const probe = 'mount -t tmpfs -o size=1m tmpfs /mnt';
  if (spawnSync('unshare', [...namespaces, 'sh', '-c', probe]).status !== 0) return undefined;
  const again = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  const child = spawn('unshare', [...namespaces, ...again], {
    stdio: 'inherit',
    env: { ...process.env, AIOT_CHAOS_APART: '1' },
  });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(signal, () => child.kill('SIGKILL'));
  const [code] = (await once(child, 'exit')) as [number | null];
  return code ?? 1;
}
