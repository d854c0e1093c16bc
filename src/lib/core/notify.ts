import { startProgram } from './start-program.js';

type Environment = Readonly<Record<string, string | undefined>>;

/** A message to the service manager (sd_notify(3)). */
export type Notify = (...lines: string[]) => Promise<void>;

/**
 * Tells systemd how we are, where it wants to know: by its own `systemd-notify`, for Node has no datagram sockets of Unix. It waits until
 * systemd has understood who it is. One call costs about 5 ms of CPU. @returns undefined where nobody asked
 */
export function notifierFor(
  env: Environment = process.env,
  program = 'systemd-notify',
): { notify: Notify; watchdogMs: number | undefined } | undefined {
  const socket = env.NOTIFY_SOCKET;
  if (!socket) return undefined;
  const watched = env.WATCHDOG_PID === undefined || Number(env.WATCHDOG_PID) === process.pid;
  const microseconds = Number(env.WATCHDOG_USEC);
  return {
    watchdogMs: watched && microseconds > 0 ? microseconds / 1000 : undefined,
    notify: (...lines) =>
      new Promise((resolve) => {
        const child = startProgram(program, lines, {
          stdio: 'ignore',
          env: { PATH: env.PATH, NOTIFY_SOCKET: socket },
          timeout: 10_000,
        });
        // Without it systemd does not learn; that is no reason to stop.
        child.once('error', () => resolve());
        child.once('close', () => resolve());
      }),
  };
}
