import { ESPLoader, type FlashSizeValues, Transport } from 'esptool-js';
import {
  locked,
  noAnswer,
  notOpened,
  notRead,
  notWritten,
  tooLarge,
  unplugged,
  unpluggedWhileWriting,
  wrongChip,
} from './faults.js';
import { md5 } from './md5.js';
import { type BoardPort, consoleBaud, pause, settleMs } from './port.js';

export interface Part {
  offset: number;
  data: Uint8Array;
}

/** The chip that answered. */
export interface FoundChip {
  /** Name as in manifests, such as `ESP32-S3`. */
  family: string;
  /** Factory address, in lower case with colons. */
  mac: string;
  /** Size of its flash; null = it reports none. */
  flashBytes: number | null;
}

/** Reads the chip's flash. @throws BoardFault */
export type ReadFlash = (offset: number, bytes: number) => Promise<Uint8Array>;

export interface WriteSteps {
  /** Chips that the firmware supports. */
  families: readonly string[];
  /** Whether the whole flash is erased first. */
  erase: boolean;
  /** The parts for the chip that answered. */
  parts: (chip: FoundChip, read: ReadFlash) => Promise<readonly Part[]>;
  /** `share`: of the bytes to write, 0 to 1; null while it is unknown. */
  progress: (stage: 'connecting' | 'preparing' | 'erasing' | 'writing', share: number | null) => void;
}

/** Speed while writing. Common USB chips support it. */
const writeBaud = 460_800;

/**
 * Writes parts to a board's flash, verifies each by its MD5, and starts the board's program. Afterward, the port is open for the program.
 * @throws BoardFault, and the errors of `parts`
 */
export async function writeBoard(board: BoardPort, steps: WriteSteps): Promise<FoundChip> {
  await board.close();
  let changed = false;
  const work = write(board, steps, () => {
    changed = true;
  });
  // After a loss, esptool-js still waits for its own timeouts.
  work.catch(() => undefined);
  try {
    const found = await Promise.race([work, lossOf(board)]);
    await board.open();
    await board.restart();
    return found;
  } catch (error) {
    // A failed request may arrive before the browser's message that the board is gone.
    await pause(settleMs);
    if (board.lost.aborted) throw changed ? unpluggedWhileWriting() : unplugged();
    // The board leaves the loader, so that its log is visible again.
    await board
      .open()
      .then(() => board.restart())
      .catch(() => undefined);
    throw error;
  }
}

function lossOf(board: BoardPort): Promise<never> {
  return new Promise((_, reject) => {
    if (board.lost.aborted) reject(unplugged());
    else board.lost.addEventListener('abort', () => reject(unplugged()), { once: true });
  });
}

async function write(board: BoardPort, steps: WriteSteps, changing: () => void): Promise<FoundChip> {
  steps.progress('connecting', null);
  const { found, loader, transport } = await connect(board);
  try {
    if (!steps.families.includes(found.family)) throw wrongChip(found.family, steps.families);
    if (await isLocked(loader)) throw locked();
    steps.progress('preparing', null);
    const read: ReadFlash = async (offset, bytes) => {
      const data = await loader.readFlash(offset, bytes).catch((error: unknown) => {
        throw notRead(error);
      });
      return Uint8Array.from(data);
    };
    const parts = await steps.parts(found, read);
    requireRoom(
      found,
      parts.map(({ offset, data }) => offset + data.length),
    );
    changing();
    if (steps.erase) {
      steps.progress('erasing', null);
      await loader.eraseFlash().catch((error: unknown) => {
        throw notWritten(error);
      });
    }
    await writeParts(loader, parts, (share) => steps.progress('writing', share));
    return found;
  } finally {
    await release(transport);
  }
}

/** A transport that writes nothing to the browser's console. */
class QuietTransport extends Transport {
  override trace(): void {}
}

const silent = { clean: () => undefined, write: () => undefined, writeLine: () => undefined };

/** Remembers whether the chip has answered at all. */
class Loader extends ESPLoader {
  hasAnswered = false;

  override async sync() {
    const answer = await super.sync();
    this.hasAnswered = true;
    return answer;
  }
}

interface Connected {
  found: FoundChip;
  loader: Loader;
  transport: Transport;
}

/**
 * Resets the chip into its loader. If its port disappears meanwhile, the chip is then already in the loader. A chip that answered, but not
 * to the end, is reset once more: a single lost or late answer is no reason to press buttons.
 * @throws BoardFault
 */
async function connect(board: BoardPort): Promise<Connected> {
  board.resetting(true);
  const first = loaderAt(board);
  try {
    return await identify(first, 'default_reset');
  } catch (error) {
    await release(first.transport);
    const isInLoader = await board.hasReturned();
    if (!isInLoader && !first.loader.hasAnswered) throw error;
    const second = loaderAt(board);
    try {
      return await identify(second, isInLoader ? 'no_reset' : 'default_reset');
    } catch (error) {
      await release(second.transport);
      throw error;
    }
  } finally {
    board.resetting(false);
  }
}

function loaderAt(board: BoardPort): Omit<Connected, 'found'> {
  const transport = new QuietTransport(board.port as never);
  const speeds = { baudrate: writeBaud, romBaudrate: consoleBaud };
  return { transport, loader: new Loader({ transport, ...speeds, terminal: silent }) };
}

async function release(transport: Transport): Promise<void> {
  await Promise.race([transport.disconnect().catch(() => undefined), pause(2000)]);
}

async function identify(
  { loader, transport }: Omit<Connected, 'found'>,
  mode: 'default_reset' | 'no_reset',
): Promise<Connected> {
  try {
    await loader.main(mode);
    const mac = loader.secureDownloadMode ? '' : await loader.chip.readMac(loader);
    const found = { family: loader.chip.CHIP_NAME, mac, flashBytes: await flashSize(loader) };
    return { found, loader, transport };
  } catch (error) {
    // An error of the browser is about the port, any other one about the chip.
    throw error instanceof DOMException ? notOpened(error) : noAnswer();
  }
}

/**
 * Whether the chip accepts only signed or encrypted firmware. Source of the ESP32's fuses, which has no request for it: esptool's target
 * for the ESP32, ABS_DONE and FLASH_CRYPT_CNT.
 */
async function isLocked(loader: ESPLoader): Promise<boolean> {
  if (loader.secureDownloadMode) return true;
  if (loader.chip.CHIP_NAME === 'ESP32') {
    const crypt = (await loader.readReg(esp32Fuses)) >>> 20;
    const boot = await loader.readReg(esp32Fuses + 0x18);
    return isOdd(crypt & 0x7f) || (boot & 0x30) !== 0;
  }
  const { parsedFlags, flashCryptCnt } = await loader.getSecurityInfo();
  return parsedFlags.SECURE_BOOT_EN || isOdd(flashCryptCnt);
}

const esp32Fuses = 0x3ff5a000;

/** Whether an odd number of bits is set, which enables flash encryption. */
const isOdd = (bits: number) => bits.toString(2).replaceAll('0', '').length % 2 === 1;

/** Size of the chip's flash, bytes; null = it reports none. */
async function flashSize(loader: ESPLoader): Promise<number | null> {
  const size = await loader.detectFlashSize().catch(() => undefined);
  return size === undefined ? null : loader.flashSizeBytes(size as FlashSizeValues);
}

/** @throws BoardFault for parts past the end of the chip's flash */
export function requireRoom({ flashBytes }: FoundChip, ends: readonly number[]): void {
  if (flashBytes !== null && ends.some((end) => end > flashBytes)) throw tooLarge(flashBytes);
}

async function writeParts(
  loader: ESPLoader,
  parts: readonly Part[],
  progress: (share: number) => void,
): Promise<void> {
  const total = parts.reduce((sum, { data }) => sum + data.length, 0);
  const before = (count: number) => parts.slice(0, count).reduce((sum, { data }) => sum + data.length, 0);
  progress(0);
  await loader
    .writeFlash({
      fileArray: parts.map(({ offset, data }) => ({ data, address: offset })),
      // The headers of the images already contain the flash parameters of the build.
      ...{ flashMode: 'keep', flashFreq: 'keep', flashSize: 'keep' },
      ...{ eraseAll: false, compress: true, calculateMD5Hash: md5 },
      reportProgress: (index, sent, size) => {
        const own = parts[index]?.data.length ?? 0;
        progress((before(index) + (own * sent) / size) / total);
      },
    })
    .catch((error: unknown) => {
      throw notWritten(error);
    });
}
