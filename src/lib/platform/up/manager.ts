import { notifierFor } from '../../core/index.js';

/** Whether systemd started this process, and keeps what it says. */
export function isManaged(environment: Readonly<Record<string, string | undefined>> = process.env): boolean {
  return notifierFor(environment) !== undefined;
}

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
