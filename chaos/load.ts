import { setTimeout as delay } from 'node:timers/promises';
import type { AiotError } from '../src/lib/core/errors.js';
import type { Load, Operated } from '../test/platform/kills/harness.js';
import type { Report } from './types.js';

/** Errors that clients may get while a platform, its disk, its clock or the network has a fault. */
const told = new Set([
  'AIOT_PLATFORM_UNREACHABLE',
  'AIOT_DATABASE_UNREACHABLE',
  'AIOT_BLOBS_UNAVAILABLE',
  'AIOT_DISK_FULL',
  'AIOT_FILE_NOT_WRITABLE',
  'AIOT_TIMED_OUT',
]);

/** Time within which a load must stop after `signal` is aborted, ms. */
const endMs = 30_000;

/** Runs the loads until `signal` is aborted; a load that loses its connection is restarted. */
export async function keepGoing(
  loads: readonly Load[],
  platform: Operated,
  signal: AbortSignal,
  report: Report,
): Promise<void> {
  const one = async (load: Load) => {
    while (!signal.aborted) {
      try {
        await load.run?.(platform, signal);
      } catch (error) {
        const { code, message } = error as AiotError;
        if (!told.has(code)) report('answers', `${load.name}: ${code ?? 'no code'}: ${message}`);
      }
      await delay(100, undefined, { signal }).catch(() => {});
    }
  };
  const running = loads.filter(({ run }) => run).map(async (load) => ({ load, ended: await one(load) }));
  const left = new Set(loads.filter(({ run }) => run).map(({ name }) => name));
  for (const each of running) void each.then(({ load }) => left.delete(load.name));
  const late = new Promise<void>((resolve) => {
    const begin = () => setTimeout(resolve, endMs).unref();
    if (signal.aborted) begin();
    else signal.addEventListener('abort', begin, { once: true });
  });
  await Promise.race([Promise.all(running), late]);
  if (left.size > 0)
    report('answers', `${[...left].join(', ')}: no response and no error within ${endMs} ms`);
}

/** Has each load verify its data, and reports violations. */
export async function verifyLoads(loads: readonly Load[], platform: Operated, report: Report): Promise<void> {
  for (const load of loads) {
    try {
      await load.verify(platform);
    } catch (error) {
      report('no acknowledged data is lost', `${load.name}: ${(error as Error).message}`);
    }
  }
}
