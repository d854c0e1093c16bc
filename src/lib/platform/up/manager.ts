import { notifierFor } from '../../core/index.js';

/**
 * Tells systemd, where it started this process, that the platform is ready, and then that it lives: a turn of the event loop
 * that does not come is what its watchdog is for. A database that is away is not: starting anew brings none back.
 * @returns what says that it ends
 */
export async function tellManager(
  url: string,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Promise<() => Promise<void>> {
  const manager = notifierFor(environment);
  if (!manager) return async () => {};
  const { notify, watchdogMs } = manager;
  await notify('READY=1', `STATUS=${url}`);
  const beat =
    watchdogMs === undefined ? undefined : setInterval(() => void notify('WATCHDOG=1'), watchdogMs / 3);
  return async () => {
    clearInterval(beat);
    await notify('STOPPING=1');
  };
}
