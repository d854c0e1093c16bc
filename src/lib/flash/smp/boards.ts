import { setTimeout as sleep } from 'node:timers/promises';
import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { readBytes } from '../../core/files.js';
import { isMcuboot, mcubootVersionText, readMcuboot } from '../../formats/mcuboot.js';
import { choosePort } from '../port/list.js';
import { type BoardImage, boardImageSchema, SmpClient, type SmpClientOptions } from './client.js';
import { openSmpPort } from './port.js';

export interface SmpBoardOptions extends SmpClientOptions {
  /** `udp:HOST:PORT`, a serial port, or `simulated:mcuboot`; undefined = the only connected port. */
  port: string | undefined;
  baud: number;
}

/** Runs a function with a client of a board, and closes the connection. */
async function withBoard<T>(options: SmpBoardOptions, use: (client: SmpClient) => Promise<T>): Promise<T> {
  const { signal, baud } = options;
  const address = options.port ?? (await choosePort(undefined));
  const port = await openSmpPort(address, { baud, ...(signal ? { signal } : {}) });
  const client = new SmpClient(port, options);
  try {
    return await use(client);
  } finally {
    await client.close();
  }
}

export const boardImagesSchema = z.object({ port: z.string(), images: z.array(boardImageSchema) });

export type BoardImages = z.output<typeof boardImagesSchema>;

const listed = async (client: SmpClient, images: Promise<BoardImage[]>): Promise<BoardImages> => ({
  port: client.address,
  images: await images,
});

/** Lists the images in a board's slots. @throws AIOT_SMP_… */
export function listBoardImages(options: SmpBoardOptions): Promise<BoardImages> {
  return withBoard(options, (client) => listed(client, client.images()));
}

/** Marks an image to be tested at the next reset. @param hash hex digits, or the first of them @throws AIOT_SMP_… */
export function testBoardImage(options: SmpBoardOptions, hash: string): Promise<BoardImages> {
  return withBoard(options, async (client) => listed(client, client.test(await hashOnBoard(client, hash))));
}

/** Confirms the running image, or makes the one with this hash permanent. @throws AIOT_SMP_… */
export function confirmBoardImage(options: SmpBoardOptions, hash: string | undefined): Promise<BoardImages> {
  return withBoard(options, async (client) =>
    listed(client, client.confirm(hash === undefined ? undefined : await hashOnBoard(client, hash))),
  );
}

/** Erases a slot. @throws AIOT_SMP_… */
export function eraseBoardImage(options: SmpBoardOptions, slot: number): Promise<BoardImages> {
  return withBoard(options, async (client) => {
    await client.erase(slot);
    return listed(client, client.images());
  });
}

async function hashOnBoard(client: SmpClient, text: string): Promise<Uint8Array> {
  if (!/^[\da-f]{6,128}$/i.test(text))
    throw new AiotError('AIOT_USAGE', `expected a hash of at least 6 hex digits, got ${text}`, {
      next: 'List the hashes with `aiot board image list`.',
    });
  const found = (await client.images()).filter(({ hash }) => hash?.startsWith(text.toLowerCase()));
  const hashes = [...new Set(found.map(({ hash }) => hash))];
  const [only] = hashes;
  if (hashes.length === 1 && only) return Buffer.from(only, 'hex');
  const what = hashes.length === 0 ? 'no slot contains an image with' : 'several images begin with';
  throw new AiotError('AIOT_SMP_NOT_FOUND', `${client.address}: ${what} the hash ${text}`);
}

export const uploadedImageSchema = z.object({
  port: z.string(),
  file: z.string(),
  version: z.string(),
  hash: z.string(),
  bytes: z.int(),
  resumedAt: z.int().describe('Offset at which an interrupted upload was resumed.'),
  chunkBytes: z.int().describe('Largest number of image bytes in one packet.'),
  window: z.int().describe('Maximum number of packets in flight.'),
});

export type UploadedImage = z.output<typeof uploadedImageSchema>;

export interface UploadOptions extends SmpBoardOptions {
  file: string;
  image?: number;
  /** Number of packets in flight at a time; undefined = as many as the board's buffers allow. */
  window?: number | undefined;
  onProgress?: (sent: number, total: number) => void;
}

/** Uploads a signed image to the free slot. @throws AIOT_SMP_…, AIOT_IMAGE_MALFORMED, AIOT_IMAGE_TOO_LARGE, AIOT_FILE_… */
export async function uploadBoardImage(options: UploadOptions): Promise<UploadedImage> {
  const signed = await imageFile(options.file);
  return withBoard(options, async (client) => {
    const { image = 0, window, onProgress } = options;
    const uploaded = await client.upload(signed.bytes, {
      image,
      window,
      onProgress: (sent) => onProgress?.(sent, signed.bytes.length),
    });
    return {
      port: client.address,
      file: options.file,
      version: signed.version,
      hash: signed.hash,
      ...uploaded,
    };
  });
}

async function imageFile(file: string): Promise<{ bytes: Uint8Array; version: string; hash: string }> {
  const bytes = await readBytes(file);
  if (isMcuboot(Buffer.from(bytes.subarray(0, 4)).reverse()))
    throw unsupported(file, 'is for a big-endian chip');
  if (!isMcuboot(bytes))
    throw new AiotError('AIOT_IMAGE_MALFORMED', `${file} is not an MCUboot image`, {
      next: 'Sign the program first: `aiot firmware mcuboot sign PROGRAM --key KEY --version 1.0.0 --slot-size SIZE --out FILE`.',
    });
  const image = readMcuboot(bytes, file);
  // After decompression, the board reports another hash, so it would be impossible to verify that the right image runs.
  if (image.flags.includes('lzma1') || image.flags.includes('lzma2'))
    throw unsupported(file, 'is compressed');
  if (image.intact === false)
    throw new AiotError('AIOT_IMAGE_MALFORMED', `${file}: the image does not match its hash`);
  return {
    // Only files for a hardware programmer contain padding and a trailer. A board writes its own trailer.
    bytes: bytes.subarray(0, image.bytes),
    version: mcubootVersionText(image.version),
    hash: Buffer.from(image.hash.value).toString('hex'),
  };
}

function unsupported(file: string, why: string): AiotError {
  return new AiotError('AIOT_IMAGE_UNSUPPORTED', `${file} ${why}, which aiot does not support`);
}

export const installedImageSchema = z.object({
  port: z.string(),
  file: z.string(),
  outcome: z.enum(['installed', 'on-trial', 'already-running']),
  before: z.string().nullable().describe('Version that ran previously.'),
  version: z.string(),
  hash: z.string(),
  uploadedBytes: z.int().describe('0 = the board already had the image.'),
  resumedAt: z.int(),
});

export type InstalledImage = z.output<typeof installedImageSchema>;

export interface InstallOptions extends UploadOptions {
  /** Whether to confirm the image if it runs. Otherwise, the board reverts it at its next reset. */
  confirm: boolean;
  /** How long the new image must keep running before it is confirmed, ms. */
  soakMs: number;
  /** How long the board may take to start again, ms. A swap of large slots takes a minute. */
  restartMs: number;
  onStep?: (text: string) => void;
}

/**
 * Installs an image: upload, test, reset, check of the running hash, confirmation. If the new image does not run, MCUboot has reverted
 * to the previous one, or rejected the new one.
 * @throws AIOT_FLASH_UNHEALTHY (reverted or rejected), AIOT_SMP_…, AIOT_IMAGE_…
 */
export async function installBoardImage(options: InstallOptions): Promise<InstalledImage> {
  const signed = await imageFile(options.file);
  const step = options.onStep ?? (() => {});
  return withBoard(options, async (client) => {
    const images = await imagesNumbered(client, options.image);
    const active = images.find((entry) => entry.active);
    const result = {
      port: client.address,
      file: options.file,
      before: active?.version ?? null,
      ...named(signed),
    };
    if (active?.hash === signed.hash) {
      if (options.confirm && !active.confirmed) await confirmInstalled(client, signed, options);
      return { ...result, outcome: 'already-running', uploadedBytes: 0, resumedAt: 0 };
    }
    let sent = { uploadedBytes: 0, resumedAt: 0 };
    if (!images.some((entry) => !entry.active && entry.hash === signed.hash)) {
      const uploaded = await client.upload(signed.bytes, {
        ...(options.image === undefined ? {} : { image: options.image }),
        window: options.window,
        onProgress: (bytes) => options.onProgress?.(bytes, signed.bytes.length),
      });
      sent = { uploadedBytes: uploaded.bytes - uploaded.resumedAt, resumedAt: uploaded.resumedAt };
    }
    step(`testing ${signed.version}`);
    await client.test(Buffer.from(signed.hash, 'hex'));
    step('resetting the board');
    await requireRunning(client, signed, options, await client.reset());
    if (options.soakMs > 0) {
      step('watching the new image');
      await sleep(options.soakMs, undefined, options.signal ? { signal: options.signal } : {});
      await requireRunning(client, signed, options);
    }
    if (!options.confirm) return { ...result, ...sent, outcome: 'on-trial' };
    step('confirming');
    await confirmInstalled(client, signed, options);
    return { ...result, ...sent, outcome: 'installed' };
  });
}

const named = ({ version, hash }: { version: string; hash: string }) => ({ version, hash });

/** The slots of one image. A board may have several images. */
const imagesNumbered = async (client: SmpClient, image = 0) =>
  (await client.images()).filter((entry) => entry.image === image);

/** Without a hash, a board confirms the image of the core that runs the server, which is image 0. */
const confirmInstalled = (client: SmpClient, { hash }: { hash: string }, { image = 0 }: InstallOptions) =>
  client.confirm(image === 0 ? undefined : Buffer.from(hash, 'hex'));

/** Time between two queries to a board that has not restarted yet, ms. */
const pollMs = 50;

/**
 * Waits until the board answers after its restart, and checks which image runs. Boards wait before they reset (Zephyr: 250 ms), and the
 * previous image answers until then. As long as the new image is pending, the board has not restarted.
 * @param resetAnswered false = the reset request may be lost. It is repeated only while the image is pending, because a second reset
 * reverts an image on trial.
 */
async function requireRunning(
  client: SmpClient,
  { version, hash }: { version: string; hash: string },
  { image, restartMs, signal }: InstallOptions,
  resetAnswered = true,
): Promise<void> {
  const until = Date.now() + restartMs;
  for (let answered = resetAnswered; ; ) {
    signal?.throwIfAborted();
    try {
      const images = await imagesNumbered(client, image);
      const active = images.find((entry) => entry.active);
      if (active?.hash === hash) return;
      const installed = images.find((entry) => entry.hash === hash);
      if (installed?.pending !== true)
        throw unhealthy(client.address, version, active?.version ?? 'unknown', installed !== undefined);
      if (Date.now() > until) throw notRestarted(client.address, restartMs);
      if (!answered) answered = await client.reset();
      await sleep(pollMs, undefined, signal ? { signal } : {});
    } catch (error) {
      if (!(error instanceof AiotError && error.code === 'AIOT_SMP_SILENT') || Date.now() > until)
        throw error;
    }
  }
}

const notRestarted = (address: string, ms: number) =>
  new AiotError(
    'AIOT_SMP_FAILED',
    `${address}: the board accepted the reset, but did not restart within ${ms / 1000} s`,
    {
      endpoint: address,
      next: "Press the board's reset button, then list its images with `aiot board image list`.",
    },
  );

function unhealthy(address: string, version: string, running: string, kept: boolean): AiotError {
  const message = kept
    ? `${address}: version ${version} did not keep running; MCUboot reverted to ${running}`
    : `${address}: MCUboot rejected version ${version}, and ${running} keeps running`;
  return new AiotError('AIOT_FLASH_UNHEALTHY', message, {
    endpoint: address,
    next: kept
      ? 'To see why it stopped, run `aiot board monitor`. The board keeps the rejected image in its second slot.'
      : "Sign the image with the key that is compiled into the board's bootloader, and for the board's slot size.",
  });
}

export const boardShellSchema = z.object({ port: z.string(), output: z.string(), status: z.int() });

/** Runs a command in the shell of a board. @throws AIOT_USAGE (no command), AIOT_SMP_… */
export async function runBoardShell(options: SmpBoardOptions, words: readonly string[]) {
  if (words.length === 0)
    throw new AiotError('AIOT_USAGE', 'expected a command, got nothing', {
      next: "Pass one in quotes: `aiot board shell 'kernel version'`.",
    });
  return withBoard(options, async (client) => ({ port: client.address, ...(await client.execute(words)) }));
}

export const boardStatisticsSchema = z.object({
  port: z.string(),
  groups: z.array(z.object({ name: z.string(), fields: z.record(z.string(), z.number()) })),
});

/** Reads all statistics of a board. @throws AIOT_SMP_… */
export function readBoardStatistics(options: SmpBoardOptions) {
  return withBoard(options, async (client) => {
    const groups = [];
    for (const name of await client.statisticsGroups())
      groups.push({ name, fields: await client.statistics(name) });
    return { port: client.address, groups };
  });
}

export const boardResetSchema = z.object({ port: z.string(), answers: z.boolean() });

/** Time after which a board that still answers has not restarted, ms. Boards reset a fraction of a second after their answer. */
const longestResetDelayMs = 10_000;

/**
 * Resets a board, and waits until it answers again. Its program answers until the reset, so an answer counts only after a
 * silence.
 * @throws AIOT_SMP_…, AIOT_SMP_FAILED (it did not restart)
 */
export function restartBoard(options: SmpBoardOptions) {
  return withBoard(options, async (client) => {
    const until = Date.now() + longestResetDelayMs;
    let silent = !(await client.reset());
    while (!silent) {
      options.signal?.throwIfAborted();
      silent = !(await client.answers(silenceMs));
      if (!silent && Date.now() > until) throw notRestarted(client.address, longestResetDelayMs);
    }
    return { port: client.address, answers: (await client.echo('aiot')) === 'aiot' };
  });
}

/** Maximum time for a running program to answer an echo, even over a slow serial line, ms. */
const silenceMs = 500;
