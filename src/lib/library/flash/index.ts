import type { LoaderOptions } from '../../flash/index.js';
import type { BoardRow } from '../../flash/write/flash-boards.js';
import { type FlashRequest, runFlash } from '../../flash/write/run-flash.js';
import { type FlashAsk, type FlashProgress, uncounted, type Watched } from '../progress.js';

type Whole = Omit<FlashRequest, 'loader' | 'header' | 'watch' | 'project'>;

/** Of `flash`: what is written, where, and how. All that is left out has the command's defaults. */
export interface FlashOptions extends Partial<Whole>, Watched<FlashProgress | FlashAsk> {
  /** Folder of a built project whose images are written. */
  project?: string | null | undefined;
  /** How the chip's loader is spoken to: `chip` auto, `baud` 921600, `stub` true, `before` default-reset, `after` hard-reset. */
  loader?: Partial<Omit<LoaderOptions, 'signal' | 'progress'>> | undefined;
  /** Changes of the bootloader's header. */
  header?: FlashRequest['header'] | undefined;
  /** Look at the restarted board for `timeoutMs`; `pattern` is what one that is well says. */
  watch?: FlashRequest['watch'] | undefined;
}

export type FlashedBoards = Awaited<ReturnType<typeof runFlash>>;

/** What the loader does unless told. */
const usual = {
  chip: 'auto',
  baud: 921_600,
  stub: true,
  before: 'default-reset',
  after: 'hard-reset',
} as const;

/**
 * Writes the flash of one board, of many, or of none (`dryRun`: what would be written). What would leave a board that does
 * not start is refused before anything is written. Of many boards, those that failed are in the result, and no error.
 * @throws AIOT_SERIAL_NOT_FOUND, AIOT_SERIAL_BUSY, AIOT_FLASH_REFUSED, AIOT_CHIP_MISMATCH, AIOT_FILE_NOT_FOUND, AIOT_USAGE
 */
export async function flash(options: FlashOptions): Promise<FlashedBoards> {
  const { onProgress, signal, loader, ...asked } = options;
  const request: FlashRequest = {
    ...{ images: [], ports: [], all: false, jobs: 8, diffWith: [], header: {}, device: undefined },
    ...{ slot: undefined, firmware: undefined, model: undefined, record: undefined, context: undefined },
    ...{ erase: false, verify: false, force: false, dryRun: false, retries: undefined },
    ...asked,
    project: asked.project ?? null,
    watch: asked.watch ?? null,
    loader: { ...usual, ...loader, ...(signal ? { signal } : {}) },
  };
  return await runFlash(
    request,
    (board) => onProgress?.(progressOf(board)),
    (step) => onProgress?.({ task: 'flash-ask', step, ...uncounted }),
  );
}

function progressOf(board: BoardRow): FlashProgress {
  const { stage, region, done, total } = board;
  const counted = total > 0 ? ({ done, total, unit: 'bytes' } as const) : uncounted;
  return { task: 'flash', step: region === null ? stage : `${stage} ${region}`, ...counted, board };
}
