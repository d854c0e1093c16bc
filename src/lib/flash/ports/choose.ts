import { AiotError } from '../../core/index.js';
import { listPorts, type PortSystem } from './list.js';
import type { PortInfo } from './types.js';

/**
 * The port that is meant: the one named, else the only one at which a board can be expected. Never guesses: with several
 * it names them all, also where only one of them is free or has a known adapter.
 *
 * @throws AIOT_SERIAL_NOT_FOUND, AIOT_SERIAL_AMBIGUOUS
 */
export async function choosePort(named?: string, system?: PortSystem): Promise<string> {
  if (named !== undefined) return named;
  const [only, ...others] = await boardPorts(system);
  if (only && others.length === 0) return only.path;
  const names = [only, ...others].map((port) => port && describePath(port)).join(', ');
  throw new AiotError('AIOT_SERIAL_AMBIGUOUS', `${others.length + 1} boards could be meant: ${names}`, {
    next: `Name one, such as --port ${only?.path}; aiot device ports tells more.`,
  });
}

/** All ports at which a board can be expected. @throws AIOT_SERIAL_NOT_FOUND where there is none */
export async function boardPorts(system?: PortSystem): Promise<PortInfo[]> {
  const ports = await listPorts(system);
  const boards = ports.filter(({ board }) => board);
  if (boards.length > 0) return boards;
  const others = ports.map(({ path }) => path).join(', ');
  const besides = others
    ? ` (there are ${others}, which are not USB: name one with --port if it is meant)`
    : '';
  throw new AiotError('AIOT_SERIAL_NOT_FOUND', `no board on a USB port here${besides}`, {
    next: 'Plug it in with a cable that carries data; aiot device ports shows what this machine sees.',
  });
}

/** `/dev/ttyUSB0 (CP210x 0001)` */
function describePath({ path, adapter, usb }: PortInfo): string {
  const about = [adapter, usb?.serialNumber].filter(Boolean).join(' ');
  return about ? `${path} (${about})` : path;
}
