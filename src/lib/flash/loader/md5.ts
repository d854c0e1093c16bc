import { flashTimeMs, op, words } from './commands.js';
import type { Session } from './session.js';

const md5SecondsPerMB = 8;

/** MD5 of a part of the flash, computed by the chip. A ROM writes it as text, a stub as bytes. */
export async function flashMd5({ exchange }: Session, offset: number, length: number): Promise<string> {
  const { data } = await exchange.ask({
    op: op.md5,
    data: words(offset, length, 0, 0),
    expect: [16, 32],
    timeoutMs: flashTimeMs(length, md5SecondsPerMB),
    tries: 3,
  });
  const text = Buffer.from(data).toString(data.length === 32 ? 'latin1' : 'hex');
  return text.toLowerCase();
}
