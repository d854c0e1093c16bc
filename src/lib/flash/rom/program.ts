import { AiotError } from '../../core/errors.js';
import { hex } from '../../core/figures.js';
import { type EspImage, readEspImage } from '../../formats/esp-image/read.js';
import { readOtadata } from '../../formats/otadata.js';
import {
  type Partition,
  partitionTableBytes,
  partitionTableOffset,
  readPartitionTable,
} from '../../formats/partitions.js';
import type { FaultBox } from './faults.js';
import type { NorFlash } from './flash-memory.js';
import type { ChipIdentity, ResetCause } from './identity.js';
import { wordAt } from './protocol.js';

/** Functions for a program on the chip. All of them end when the signal is aborted by a reset of the chip. */
export interface ProgramBoard {
  readonly identity: ChipIdentity;
  /** The flash as the processor sees it: decrypted, if the chip encrypts it. */
  readonly flash: NorFlash;
  /** Whether the chip accepts the image that begins at an offset. Without secure boot, it accepts any. */
  verified(bytes: Uint8Array): boolean;
  readonly signal: AbortSignal;
  /** Factory address, in lower case with colons. */
  readonly mac: string;
  readonly faults: FaultBox;
  print(text: string): void;
  /** Sends raw bytes. */
  send(bytes: Uint8Array): void;
  /** Rejects with the signal's reason at a reset. */
  sleep(ms: number): Promise<void>;
  /** Subscribes to bytes from the host. */
  onInput(listener: (bytes: Uint8Array) => void): void;
  /** Resets the chip, as a crash or `esp_restart` does. */
  restart(): void;
}

/** The program that runs on a chip outside of download mode. */
export type ChipProgram = (board: ProgramBoard) => Promise<void>;

const imageMagic = 0xe9;
const segmentLimit = 16;

/**
 * Simulates how the ROM boots from flash: prints the segments that it loads and the entry point, or reports repeatedly that there is no
 * image. After loading an image, it runs `then`, which simulates the image.
 */
export function romBoot(then: ChipProgram): ChipProgram {
  return async (board) => {
    const { flash, identity } = board;
    const at = identity.bootloaderOffset;
    while (flash.bytes[at] !== imageMagic) {
      await board.sleep(identity.emptyFlashEveryMs);
      board.print(`invalid header: ${hex(wordAt(flash.bytes, at), 8)}\r\n`);
    }
    while (!board.verified(flash.bytes.subarray(at, partitionTableOffset))) {
      board.print('secure boot: the signature of the bootloader is not accepted\r\n');
      await board.sleep(againMs);
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
    lines.push(`load:${hex(view.getUint32(at, true), 8)},len:${old ? length : hex(length)}`);
    at += 8 + length;
  }
  lines.push(`entry ${hex(view.getUint32(offset + 4, true), 8)}`);
  return lines;
}

const againMs = 1000;
const appType = 0;
const otaSlots = 0x10;

/**
 * The default program in flash. It simulates the second-stage bootloader, which finds an app by the partition table and otadata, and
 * prints the bootloader's output and the app's name and version. Without a partition table, the image counts as a standalone program.
 * Source of the output: ESP-IDF, bootloader_utility.c and app_init.c.
 */
export const secondStage: ChipProgram = async (board) => {
  const table = tableOf(board);
  if (!table) {
    board.print('I (30) main: running\r\n');
    return;
  }
  board.print('I (27) boot: ESP-IDF 2nd stage bootloader\r\n');
  const app = appOf(board, table);
  if (!app) {
    board.print('E (60) boot: No bootable app partitions in the partition table\r\n');
    await board.sleep(againMs);
    board.restart();
    return;
  }
  const { partition, image } = app;
  board.print(`I (61) boot: Loaded app from partition at offset ${hex(partition.offset)}\r\n`);
  if (image.app) {
    board.print(`I (210) app_init: Project name:     ${image.app.project}\r\n`);
    board.print(`I (211) app_init: App version:      ${image.app.version}\r\n`);
  }
  board.print(`I (240) main_task: Calling app_main() of ${partition.label}\r\n`);
};

function tableOf({ flash }: ProgramBoard): Partition[] | null {
  const bytes = flash.bytes.slice(partitionTableOffset, partitionTableOffset + partitionTableBytes);
  const partitions = readOr([], () => readPartitionTable(bytes).partitions);
  return partitions.length > 0 ? partitions : null;
}

/** The app that otadata selects or, if there is none, the factory app or the first bootable app. */
function appOf(
  board: ProgramBoard,
  table: readonly Partition[],
): { partition: Partition; image: EspImage } | null {
  const apps = table.filter(({ type }) => type === appType);
  const slots = apps.filter(({ subtype }) => subtype >= otaSlots).sort((a, b) => a.subtype - b.subtype);
  const data = table.find(({ type, subtype }) => type === 1 && subtype === 0);
  const active = data
    ? readOr(null, () =>
        readOtadata(board.flash.bytes.slice(data.offset, data.offset + data.size)).active(slots.length),
      )
    : null;
  const chosen = active === null ? undefined : slots[active];
  for (const partition of [chosen, ...apps]) {
    if (!partition) continue;
    const bytes = board.flash.bytes.subarray(partition.offset, partition.offset + partition.size);
    const image = readOr(null, () => readEspImage(bytes, partition.label));
    if (image && board.verified(bytes)) return { partition, image };
    board.print(`E (58) boot: OTA app partition slot ${partition.label} is not bootable\r\n`);
  }
  return null;
}

function readOr<T>(otherwise: T, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof AiotError) return otherwise;
    throw error;
  }
}

/** Boot mode: the loader on all ports, the loader on the UART only, or the image in flash. */
export type BootMode = 'download' | 'uart' | 'run';

/** The ROM's output after a reset, at 115200. */
export function bootText(identity: ChipIdentity, cause: ResetCause, mode: BootMode, strap: number): string {
  const { text, waits } = identity.bootNames[mode];
  const line = `rst:${identity.resetNames[cause]},boot:${hex(strap)} (${text})\r\n`;
  return `${identity.banner}${line}${waits ?? ''}`;
}

/** The ROM's output after a crash: the start of its register dump, which identifies a crash. */
export function panicText(identity: ChipIdentity, cause = 'Load access fault'): string {
  const registers =
    identity.name === 'esp32c3'
      ? 'PC      : 0x4004c092  RA      : 0x40001e2c  SP      : 0x3fcde610  GP      : 0x00000000'
      : 'PC      : 0x40009f4c  PS      : 0x00060130  A0      : 0x800092f5  A1      : 0x3ffe3b00';
  return `Guru Meditation Error: Core 0 panic'ed (${cause})\r\nCore 0 register dump:\r\n${registers}\r\n\r\n`;
}
