import type { Socket } from 'node:net';
import type { Agent } from 'undici';

/**
 * An agent for HTTP requests that avoids a fault of undici 7. If a server closes the connection before the last piece of its response has
 * been read, an assertion fails in undici and terminates the process (nodejs/undici#5360). The fix in undici 8 needs Node 22. Like the fix,
 * this agent defers the end of such a connection.
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
 * Defers the end of a connection while undici's parser is paused, because the parser would throw. When the parser resumes, it reads the
 * socket and receives the end again. A connection that was reset has no more data, so its response fails.
 */
function holdEnd(socket: Socket): void {
  const emit = socket.emit.bind(socket) as (event: string, ...values: unknown[]) => boolean;
  const read = socket.read.bind(socket);
  let held = false;
  const end = () => {
    held = !wasHeard(() => emit('end'));
    // With the default setting, Node would close the socket now, and unread data would be lost.
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

/** Emits an event. Returns false if the parser rejected it because it was paused. */
function wasHeard(emit: () => unknown): boolean {
  try {
    emit();
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_ASSERTION') throw error;
    return false;
  }
}
