import { block, checksum, type Exchange, op, quick, words } from './exchange.js';
import { isUsbOtg } from './reset.js';
import { NoAnswer } from './wire.js';

const ramBlock = 0x1800;

/** Block size for uploads over a chip's own USB, bytes. The ROM loses larger packets there. */
const usbRamBlock = 0x800;

/** Loads bytes into RAM. @param progress called after each block with the number of bytes so far */
export async function loadRam(
  exchange: Exchange,
  bytes: Uint8Array,
  address: number,
  progress: (done: number) => void = () => {},
): Promise<void> {
  const size = isUsbOtg(exchange.wire.line) ? usbRamBlock : ramBlock;
  const blocks = Math.ceil(bytes.length / size);
  await exchange.ask({ op: op.memBegin, data: words(bytes.length, blocks, size, address), ...quick });
  for (let i = 0; i < blocks; i++) {
    const piece = bytes.subarray(i * size, (i + 1) * size);
    await exchange.ask({ op: op.memData, data: block(piece, i), checksum: checksum(piece) });
    progress(Math.min(bytes.length, (i + 1) * size));
  }
}

/** Starts the program at an address in RAM. The ROM may stop before it has answered, so a missing answer is not an error. */
export async function startRam(exchange: Exchange, entry: number): Promise<void> {
  try {
    await exchange.ask({ op: op.memEnd, data: words(0, entry), timeoutMs: 500 });
  } catch (error) {
    if (!(error instanceof NoAnswer)) throw error;
  }
}
