import { AiotError } from '../../core/index.js';
import {
  type EspImage,
  type Partition,
  partitionTableBytes,
  partitionTableOffset,
  readEspImage,
  readOtadata,
  readPartitionTable,
} from '../../formats/index.js';
import type { ChipProgram, ProgramBoard } from './program.js';

const againMs = 1000;
const appType = 0;
const otaSlots = 0x10;

/**
 * What stands in for the program in flash where none is given: the second-stage bootloader's search for an app by
 * partition table and otadata, in its words, and the app's name and version. Without a partition table the image is taken
 * as a program of its own. Source: ESP-IDF, bootloader_utility.c and app_init.c, for the texts.
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
  board.print(`I (61) boot: Loaded app from partition at offset 0x${partition.offset.toString(16)}\r\n`);
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

/** The app that otadata names, else the factory one, else the first that can be started. */
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
    if (image) return { partition, image };
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
