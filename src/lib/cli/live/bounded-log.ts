import { Socket } from 'node:net';
import type { Writable } from 'node:stream';

/** Bytes of log lines that wait for a slow reader. */
const largestBacklog = 1024 ** 2;

/**
 * A log for a process that must not depend on its reader. Lines wait in memory up to a limit; further ones are dropped and
 * counted, and the count is logged once there is room again.
 */
export function boundedLog(
  stream: Pick<Writable, 'writableLength'>,
  write: (line: string) => void,
  { largest = largestBacklog, now = Date.now } = {},
): (line: string) => void {
  let dropped = 0;
  return (line) => {
    if (stream.writableLength > largest) {
      dropped++;
      return;
    }
    if (dropped > 0) {
      const msg = `${dropped} lines of this log were dropped: nobody read standard error fast enough`;
      // 40 is pino's level of a warning.
      write(JSON.stringify({ level: 40, time: now(), dropped, msg }));
      dropped = 0;
    }
    write(line);
  };
}

/** Gives up what nobody has read of standard output and standard error after a while: it would keep the process alive. */
export function endUnread(patienceMs = 1000): void {
  // Without unread output the process has ended by then, for the timer does not keep it.
  const giveUp = () => {
    for (const stream of [process.stdout, process.stderr]) {
      if (!(stream instanceof Socket)) continue;
      // Giving up is no failure of the command, as it is to those that listen.
      stream.removeAllListeners('error');
      stream.on('error', () => {});
      // Node's own `destroy()` of these closes nothing.
      Socket.prototype._destroy.call(stream, null, () => {});
    }
  };
  setTimeout(giveUp, patienceMs).unref();
}
