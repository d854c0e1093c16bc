import type { SimulatedChip } from '../chip.js';
import { simulatedLine } from '../line.js';
import { servePty } from './pty.js';
import { serveTcp } from './tcp.js';
import type { ServedChip } from './types.js';

/** Where a chip is reached: behind a pty (with a fixed name at `link`), at a TCP port, or at one that speaks RFC 2217. */
export type ServeChipHow =
  | { pty: true; link?: string }
  | { port: number; host?: string }
  | { rfc2217: number; host?: string };

/**
 * Gives other programs a simulated chip as a serial port; port 0 takes a free one. DTR, RTS and the speed reach it by
 * RFC 2217 alone.
 *
 * @throws AIOT_SERIAL_NOT_FOUND (no socat), AIOT_PORT_IN_USE
 */
export async function serveChip(chip: SimulatedChip, how: ServeChipHow): Promise<ServedChip> {
  if ('pty' in how) return servePty(chip, how.link);
  if ('port' in how) return serveTcp(chip, how.port, how.host);
  const { serveLine } = await import('../../rfc2217/index.js');
  return serveLine(async () => simulatedLine(chip), {
    port: how.rfc2217,
    ...(how.host ? { host: how.host } : {}),
  });
}
