import { createHash } from 'node:crypto';
import type { OpenBoard } from '../../../src/lib/flash/board.js';
import type {
  ChipInfo,
  Loader,
  LoaderOptions,
  Region,
  RegionResult,
} from '../../../src/lib/flash/loader/types.js';

const sector = 4096;

/** An in-memory board behind the loader's interface. Its flash is erased in sectors, and its actions are logged. */
export class FakeBoard {
  readonly flash: Uint8Array;
  readonly log: string[] = [];
  /** Number of open sessions. */
  open = 0;
  /** Errors for the next calls, in turn; null makes a call succeed. */
  failures: (Error | null)[] = [];
  /** Whether its line has DTR and RTS. */
  canReset = true;

  constructor(
    readonly chip: Partial<ChipInfo> = {},
    flashBytes = 4 * 1024 * 1024,
  ) {
    this.flash = new Uint8Array(flashBytes).fill(0xff);
  }

  put(offset: number, data: Uint8Array): this {
    this.flash.set(data, offset);
    return this;
  }

  bytes(offset: number, length: number): Buffer {
    return Buffer.from(this.flash.subarray(offset, offset + length));
  }

  /** Opens this board instead of a port. */
  opener(): OpenBoard {
    return async (_port, options) => {
      const failure = this.failures.shift();
      if (failure) throw failure;
      this.open++;
      return this.loader(options);
    };
  }

  private loader(options: LoaderOptions): Loader {
    const board = this;
    const info: ChipInfo = {
      chip: 'esp32',
      description: 'ESP32-D0WD-V3 (revision v3.1)',
      features: [],
      crystalMHz: 40,
      mac: '24:0a:c4:00:01:10',
      flash: { id: 'c84016', bytes: board.flash.length },
      security: { secureBoot: false, flashEncryption: false, secureDownload: false },
      ...board.chip,
    };
    const md5 = (offset: number, length: number) =>
      createHash('md5').update(board.bytes(offset, length)).digest('hex');
    return {
      chip: info,
      stub: true,
      baud: options.baud,
      canReset: board.canReset,
      securityInfo: null,
      registers: null,
      fuseWords: async () => [0, 0, 0, 0, 0, 0, 0],
      raiseSpeed: async () => {},
      matches: async ({ offset, data }) => board.bytes(offset, data.length).equals(Buffer.from(data)),
      md5: async (offset, length) => md5(offset, length),
      read: async (offset, length) => {
        board.log.push(`read ${offset.toString(16)} ${length}`);
        return Uint8Array.from(board.bytes(offset, length));
      },
      async write(regions: readonly Region[], { skipEqual = true } = {}): Promise<RegionResult[]> {
        return regions.map(({ offset, data, name }) => {
          const wanted = createHash('md5').update(data).digest('hex');
          const skipped = skipEqual && md5(offset, data.length) === wanted;
          board.log.push(`${skipped ? 'skip' : 'write'} ${offset.toString(16)} ${data.length}`);
          if (!skipped) {
            board.flash.fill(0xff, offset, Math.ceil((offset + data.length) / sector) * sector);
            board.flash.set(data, offset);
          }
          options.progress?.({ stage: 'write', region: name, done: data.length, total: data.length });
          return { offset, bytes: data.length, skipped, md5: md5(offset, data.length) };
        });
      },
      eraseRegion: async (offset, length) => void board.flash.fill(0xff, offset, offset + length),
      eraseAll: async () => {
        board.log.push('erase');
        board.flash.fill(0xff);
      },
      runInRam: async (segments, entry) => {
        board.log.push(`run ${entry.toString(16)} of ${segments.length}`);
      },
      end: async () => {
        board.open--;
      },
    };
  }
}

/** Options for opening a loader in tests that do not depend on them. */
export const anyLoader: LoaderOptions = {
  chip: 'auto',
  baud: 115_200,
  stub: true,
  before: 'default-reset',
  after: 'hard-reset',
};
