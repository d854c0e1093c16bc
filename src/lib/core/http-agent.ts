import type { Socket } from 'node:net';
import type { Agent } from 'undici';

/**
 * Connections for HTTP requests. undici 7 ends the process with an assertion when a server closes after an answer of which the last
 * piece waits to be read (nodejs/undici#5360; mended in 8, which needs Node 22): here the end of such a connection waits as well.
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
 * The parser throws at the end of a connection while it is paused, and reads the socket when it goes on: then is the time to tell it of
 * the end again. A connection that was reset has nothing more to give: its answer fails.
 */
function holdEnd(socket: Socket): void {
  const emit = socket.emit.bind(socket) as (event: string, ...values: unknown[]) => boolean;
  const read = socket.read.bind(socket);
  let held = false;
  const end = () => {
    held = !wasHeard(() => emit('end'));
    // Without it Node closes the socket now, and what waits is lost.
    if (held) socket.allowHalfOpen = true;
    else if (socket.allowHalfOpen) socket.end();
    return true;
  };
  const fail = () => emit('error', new Error('the connection was closed before the whole answer was read'));
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

/** Names of OpenSSL's verification errors as Node gives them (node:tls, "X509 certificate error codes"), and Node's own. */
const untrusted = /^ERR_TLS_|CERT|SELF_SIGNED|ISSUER|UNABLE_TO_VERIFY/;

/** Whether a system error code says that the far side's certificate is not to be trusted. */
export function isUntrusted(code: string): boolean {
  return untrusted.test(code);
}
