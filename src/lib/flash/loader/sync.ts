import { op } from './commands.js';
import { NoAnswer, type Wire } from './wire.js';

const answersOfOne = 8;
const request = Uint8Array.from([
  0,
  op.sync,
  36,
  0,
  0,
  0,
  0,
  0,
  0x07,
  0x07,
  0x12,
  0x20,
  ...Array(32).fill(0x55),
]);

/**
 * Says hello once. A ROM answers eight times, with the greeting's own bytes as value; a flasher stub with value 0.
 *
 * @returns who answered, or null when nobody did
 */
export async function sync(wire: Wire, timeoutMs: number): Promise<'rom' | 'stub' | null> {
  wire.flush();
  await wire.write(request);
  const values: number[] = [];
  try {
    const deadline = performance.now() + timeoutMs + wire.timeOf(256);
    while (values.length < answersOfOne) {
      // Once it speaks, the other answers follow at once; a lost one must not fail the greeting.
      const left = values.length > 0 ? 100 : deadline - performance.now();
      if (left <= 0) break;
      const packet = await wire.read(left);
      wire.echoed ||= packet.length === request.length && packet[0] === 0 && packet[1] === op.sync;
      if (packet.length < 8 || packet[0] !== 1 || packet[1] !== op.sync) continue;
      values.push(new DataView(packet.buffer, packet.byteOffset).getUint32(4, true));
    }
  } catch (error) {
    if (!(error instanceof NoAnswer)) throw error;
  }
  if (values.length === 0) return null;
  return values.every((value) => value === 0) ? 'stub' : 'rom';
}
