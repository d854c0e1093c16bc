import type { ChipName } from '../../formats/index.js';
import { block, checksum, op, quick, words } from './commands.js';
import type { Esptool } from './esptool.js';
import { type Exchange, Refusal } from './exchange.js';
import { isUsbOtg } from './reset.js';
import { NoAnswer } from './wire.js';

const ramBlock = 0x1800;
/** Through a chip's own USB in the ROM, larger packets get lost. */
const usbRamBlock = 0x800;

/** Chips whose ROM refuses a stub once secure boot is on. Source: esptool, "flasher stub". */
const noStubWhenSecure: readonly ChipName[] = [
  'esp32c3',
  'esp32s3',
  'esp32c2',
  'esp32c6',
  'esp32h2',
  'esp32c5',
  'esp32p4',
];

export function allowsStub(chip: ChipName, secureBoot: boolean): boolean {
  return !(secureBoot && noStubWhenSecure.includes(chip));
}

/** Loads the flasher stub into the chip's memory and starts it. @returns false when there is none for this chip */
export async function startStub(exchange: Exchange, esptool: Esptool): Promise<boolean> {
  const { getStubJsonByChipName } = await import('esptool-js');
  const { chip } = esptool;
  const revision = await chip.getChipRevision?.(esptool);
  const stub = await getStubJsonByChipName(chip.CHIP_NAME, revision);
  if (!stub) return false;
  for (let left = 2; ; left--) {
    try {
      await load(exchange, stub.decodedText, stub.text_start);
      await load(exchange, stub.decodedData, stub.data_start);
      await run(exchange, stub.entry);
      return true;
    } catch (error) {
      if (left === 0 || !(error instanceof NoAnswer || error instanceof Refusal)) throw error;
      // A lost packet may also have been the last one: then the stub runs already.
      await exchange.wire.drain(100, 500);
      if ((await exchange.comeIntoStep()) === 'stub') return true;
      await exchange.wire.drain(100, 500);
    }
  }
}

async function load(exchange: Exchange, bytes: Uint8Array, address: number): Promise<void> {
  const size = isUsbOtg(exchange.wire.line) ? usbRamBlock : ramBlock;
  const blocks = Math.ceil(bytes.length / size);
  await exchange.ask({ op: op.memBegin, data: words(bytes.length, blocks, size, address), ...quick });
  for (let i = 0; i < blocks; i++) {
    const piece = bytes.subarray(i * size, (i + 1) * size);
    await exchange.ask({ op: op.memData, data: block(piece, i), checksum: checksum(piece) });
  }
}

const greeting = Buffer.from('OHAI');

async function run(exchange: Exchange, entry: number): Promise<void> {
  try {
    await exchange.ask({ op: op.memEnd, data: words(0, entry), timeoutMs: 500 });
  } catch (error) {
    // The ROM may be gone before it has answered.
    if (!(error instanceof NoAnswer)) throw error;
  }
  const deadline = performance.now() + 5000;
  for (;;) {
    const left = deadline - performance.now();
    const packet = await exchange.wire.read(Math.max(1, left));
    if (!greeting.equals(packet)) continue;
    exchange.inStep();
    return;
  }
}
