import { words } from './commands.js';
import type { Session } from './session.js';

/**
 * The words of FLASH_BEGIN and FLASH_DEFL_BEGIN. The fifth says whether what comes is to be encrypted: an ESP32's ROM
 * does not know it, all later ROMs insist on it, and stubs take either.
 */
export function beginWords(
  { chip, stub }: Pick<Session, 'chip' | 'stub'>,
  { size, blocks, blockBytes, offset }: { size: number; blocks: number; blockBytes: number; offset: number },
): Uint8Array {
  const four = [size, blocks, blockBytes, offset];
  return chip.chip === 'esp32' && !stub ? words(...four) : words(...four, 0);
}
