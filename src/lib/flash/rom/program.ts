import type { ChipIdentity } from './identity.js';
import type { NorFlash } from './nor.js';
import { wordAt } from './protocol.js';

/** What a program on the chip may do. Everything ends when the signal is aborted: the chip was reset. */
export interface ProgramBoard {
  readonly identity: ChipIdentity;
  readonly flash: NorFlash;
  readonly signal: AbortSignal;
  print(text: string): void;
  /** Rejects with the signal's reason at a reset. */
  sleep(ms: number): Promise<void>;
  /** Bytes that the host sends go there. */
  onInput(listener: (bytes: Uint8Array) => void): void;
  /** Resets the chip, as a crash or `esp_restart` does. */
  restart(): void;
}

/** What runs on a chip that is not in download mode. */
export type ChipProgram = (board: ProgramBoard) => Promise<void>;

const imageMagic = 0xe9;
const segmentLimit = 16;

/**
 * What the ROM does with the flash: says what it loads and where it begins, or that no image is there, again and again.
 * Behind a loaded image comes `then`, the program the image stands for.
 */
export function romBoot(then: ChipProgram): ChipProgram {
  return async (board) => {
    const { flash, identity } = board;
    const at = identity.bootloaderOffset;
    while (flash.bytes[at] !== imageMagic) {
      await board.sleep(identity.emptyFlashEveryMs);
      board.print(`invalid header: ${hex(wordAt(flash.bytes, at))}\r\n`);
    }
    for (const line of loadLines(flash.bytes, at, identity)) board.print(`${line}\r\n`);
    await then(board);
  };
}

const modes = ['QIO', 'QOUT', 'DIO', 'DOUT'];

function loadLines(bytes: Uint8Array, offset: number, identity: ChipIdentity): string[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const old = identity.name === 'esp32';
  const lines = old
    ? ['configsip: 0, SPIWP:0xee', 'clk_drv:0x00,q_drv:0x00,d_drv:0x00,cs0_drv:0x00,hd_drv:0x00,wp_drv:0x00']
    : ['SPIWP:0xee'];
  lines.push(`mode:${modes[view.getUint8(offset + 2)] ?? 'DIO'}, clock div:2`);
  const segments = Math.min(view.getUint8(offset + 1), segmentLimit);
  let at = offset + 24;
  for (let index = 0; index < segments && at + 8 <= bytes.length; index++) {
    const length = view.getUint32(at + 4, true);
    lines.push(`load:${hex(view.getUint32(at, true))},len:${old ? length : `0x${length.toString(16)}`}`);
    at += 8 + length;
  }
  lines.push(`entry ${hex(view.getUint32(offset + 4, true))}`);
  return lines;
}

function hex(value: number): string {
  return `0x${value.toString(16).padStart(8, '0')}`;
}
