import { op } from './commands.js';
import { isGreetingAnswer, NoAnswer, type Wire } from './wire.js';

export const answersOfOne = 8;
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

/** Sends SYNC and waits for nothing. @returns how many of its answers have come before one that is surely to this SYNC */
export async function sendSync(wire: Wire): Promise<number> {
  const earlier = wire.greetingsOwed;
  wire.greetingsOwed += answersOfOne;
  await wire.write(request);
  return earlier;
}

/**
 * Says hello once. A ROM answers eight times, with the greeting's own bytes as value; a flasher stub with value 0.
 *
 * @returns who answered, or null when nobody did
 */
export async function sync(wire: Wire, timeoutMs: number): Promise<'rom' | 'stub' | null> {
  wire.flush();
  const earlier = await sendSync(wire);
  const values: number[] = [];
  try {
    const deadline = wire.now() + timeoutMs + wire.timeOf(256);
    while (values.length < earlier + answersOfOne) {
      // Once it speaks, the other answers follow at once; a lost one must not fail the greeting.
      const left = values.length > 0 ? 100 : deadline - wire.now();
      if (left <= 0) break;
      const packet = await wire.read(left);
      wire.echoed ||= packet.length === request.length && packet[0] === 0 && packet[1] === op.sync;
      if (!isGreetingAnswer(packet)) continue;
      values.push(new DataView(packet.buffer, packet.byteOffset).getUint32(4, true));
    }
  } catch (error) {
    if (!(error instanceof NoAnswer)) throw error;
  }
  if (values.length === 0) return null;
  const own = values.length > earlier ? values.slice(earlier) : values;
  return own.every((value) => value === 0) ? 'stub' : 'rom';
}
