import { connect } from 'node:net';
import { onAbort } from '../../core/index.js';
import { parseHostPort } from '../port/address.js';
import { connected } from '../port/socket.js';
import type { SerialLine } from '../port/types.js';
import { Rfc2217Line } from './remote-line.js';

/**
 * A serial line on another machine, by RFC 2217 (`rfc2217://host:port`): speed, DTR and RTS reach the board. Speaks to our
 * own server, pyserial's, ser2net and Espressif's. Opening changes neither DTR nor RTS: a board keeps running. What stands
 * behind a `?` is for pyserial and is passed over.
 *
 * @throws AIOT_SERIAL_NOT_FOUND when nobody serves there, AIOT_SERIAL_BUSY when another client has the port,
 * AIOT_SERIAL_BAUD, AIOT_SERIAL_LOST, AIOT_USAGE
 */
export async function openRfc2217Line(
  address: string,
  options: { baud: number; signal?: AbortSignal },
): Promise<SerialLine> {
  const { host, port } = parseHostPort(address);
  const socket = connect({ host, port, noDelay: true });
  await connected(socket, address, options.signal);
  const line = new Rfc2217Line(address, socket);
  const abort = () => socket.destroy();
  const leave = onAbort(options.signal, abort);
  try {
    await line.begin(options.baud);
    return line;
  } catch (error) {
    await line.close();
    options.signal?.throwIfAborted();
    throw error;
  } finally {
    leave();
  }
}
