import { Socket } from 'node:net';
import type { Writable } from 'node:stream';

/** Maximum size of the log lines waiting for a slow reader, bytes. */
const largestBacklog = 1024 ** 2;

/**
 * A log that never blocks its process, even if nothing reads it. Lines wait in memory up to a limit. Further lines are dropped and counted,
 * and the count is logged once there is room again.
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
      const msg = `${dropped} log lines were dropped because standard error was not read fast enough`;
      // 40 is pino's warning level.
      write(JSON.stringify({ level: 40, time: now(), dropped, msg }));
      dropped = 0;
    }
    write(line);
  };
}

/** After `patienceMs`, discards unread output on stdout and stderr, which would keep the process alive. */
export function endUnread(patienceMs = 1000): void {
  // The timer does not keep the process alive, so it fires only if there is unread output.
  const giveUp = () => {
    for (const stream of [process.stdout, process.stderr]) {
      if (!(stream instanceof Socket)) continue;
      // Listeners would treat this error as a failure of the command, which it is not.
      stream.removeAllListeners('error');
      stream.on('error', () => {});
      // Node's own `destroy()` does not close these streams.
      Socket.prototype._destroy.call(stream, null, () => {});
    }
  };
  setTimeout(giveUp, patienceMs).unref();
}
