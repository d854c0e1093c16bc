import type { Socket } from 'node:net';
import type { Agent } from 'undici';

/**
 * Connections for HTTP requests. If a server closes the connection while the last piece of its response is still unread, undici 7 fails an
 * assertion and terminates the process. Source: nodejs/undici#5360, fixed in 8, which needs Node 22. Here the end of such a connection is
 * deferred as well.
 */
export async function httpAgent(options: Agent.Options = {}): Promise<Agent> {
  const { Agent, buildConnector } = await import('undici');
  const { connect = {} } = options;
  const connector = typeof connect === 'function' ? connect : buildConnector(connect);
  return new Agent({
    ...options,
    connect(target, done) {
      connector(target, (...[error, socket]) => {
        if (error) return done(error, null);
        holdEnd(socket);
        done(null, socket);
      });
    },
  });
}

/**
 * The parser throws if the connection ends while it is paused, and reads the socket when it resumes: at that point the end is reported to
 * it again. A connection that was reset has no more data, so its response fails.
 */
function holdEnd(socket: Socket): void {
  const emit = socket.emit.bind(socket) as (event: string, ...values: unknown[]) => boolean;
  const read = socket.read.bind(socket);
  let held = false;
  const end = () => {
    held = !wasHeard(() => emit('end'));
    // Otherwise Node closes the socket now, and pending data is lost.
    if (held) socket.allowHalfOpen = true;
    else if (socket.allowHalfOpen) socket.end();
    return true;
  };
  const fail = () => emit('error', new Error('the connection was closed before the response was complete'));
  socket.emit = (event: string, ...values: unknown[]) => {
    if (event === 'end') return end();
    if (event === 'error' || event === 'close')
      return (
        wasHeard(() => emit(event, ...values)) || (fail() && (event === 'error' || emit(event, ...values)))
      );
    return emit(event, ...values);
  };
  socket.read = (size?: number) => {
    if (held) setImmediate(() => held && !socket.destroyed && end());
    return read(size);
  };
}

/** Whether the parser was not paused. */
function wasHeard(emit: () => unknown): boolean {
  try {
    emit();
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_ASSERTION') throw error;
    return false;
  }
}
