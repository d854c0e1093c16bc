import type { LoaderOptions } from '../loader/types.js';
import type { HeaderChanges } from '../plan/types.js';

/** What somebody asks for, as the command line has it. */
export interface FlashRequest {
  /** `FILE@OFFSET`; HEX and UF2 files hold their addresses. */
  images: readonly string[];
  /** Folder of a built project whose images are written; null = none. */
  project: string | null;
  /** Folder of a device's identity, or for many boards of several. */
  device: string | undefined;
  /** App slot for `firmware`: `next` or a label. */
  slot: string | undefined;
  /** File, or NAME@VERSION of the platform's registry. */
  firmware: string | undefined;
  /** The same of a model. */
  model: string | undefined;
  /** Judge the restarted board, and set it back when it is not well. */
  watch: { timeoutMs: number; pattern: string | null } | null;
  /** None: the only board here. */
  ports: readonly string[];
  /** Every port at which a board can be expected. */
  all: boolean;
  jobs: number;
  /** undefined: none for one board, two for many. */
  retries: number | undefined;
  loader: LoaderOptions;
  header: HeaderChanges;
  /** `OLD.bin` or `OLD.bin@OFFSET`. */
  diffWith: readonly string[];
  erase: boolean;
  verify: boolean;
  force: boolean;
  dryRun: boolean;
  /** File of the production record. */
  record: string | undefined;
  /** HTML file to write, of the record or of this run. */
  report?: string | undefined;
  /** Platform that NAME@VERSION is fetched from. */
  context: string | undefined;
}
