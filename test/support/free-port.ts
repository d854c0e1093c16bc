import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';

/**
 * The range is below the ports that systems assign to connections and unnamed listeners, because those could be taken
 * before they are used.
 */
const [first, count] = [10_000, 20_000];
let next = randomInt(count);

/** Returns a free loopback port that this process has not used before. */
export async function freePort(): Promise<number> {
  for (let tried = 0; tried < count; tried++) {
    const port = first + next;
    next = (next + 1) % count;
    const server = createServer().listen(port, '127.0.0.1');
    const error = await once(server, 'listening').then(
      () => null,
      (cause: NodeJS.ErrnoException) => cause,
    );
    if (error === null) {
      server.close();
      await once(server, 'close');
      return port;
    }
    if (error.code !== 'EADDRINUSE' && error.code !== 'EACCES') throw error;
  }
  throw new Error(`no port from ${first} to ${first + count - 1} is free`);
}
