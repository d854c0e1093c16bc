import { randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { AiotError, hasCode } from '../../core/errors.js';
import { hex } from '../../core/figures.js';
import { readBytes, writeFileAtomic } from '../../core/files.js';
import { securityFuses } from '../../formats/efuse.js';
import {
  type BurnLayout,
  blockOffset,
  blockWords,
  burnLayouts,
  checkBytesOf,
  firstKeyBlock,
  fuseCommands,
  fuseRegisters,
  keyBlockCount,
} from '../../formats/efuse-burn.js';
import { bootKeyDigest } from '../../formats/esp-image/secure-boot.js';
import { nvsKeysOfHmac } from '../../formats/nvs/hmac.js';
import { partitionTableBytes, partitionTableOffset } from '../../formats/partitions.js';
import { type BoardRequest, withBoard } from '../board.js';
import { publicKeyOf } from '../images/keys.js';
import type { Loader, RegisterAccess } from '../loader/types.js';
import { choosePort } from '../port/list.js';
import { readSecurity } from '../security.js';
import { partitionsIn, requireBootable, requireNvsReadable } from './contents.js';
import { allLockParts, type FuseState, type LockPart, type LockStep, nvsKeyBlock, planLock } from './plan.js';

export const lockStepSchema = z.object({
  part: z.enum(allLockParts),
  fuse: z.string().describe('Name of the fuse or key block, as in espefuse.'),
  value: z.string().describe('Value that is burned; a secret key is not shown.'),
  reason: z.string(),
  lost: z.string().describe('Ability that the board loses permanently.'),
  done: z.boolean().describe('Whether the fuse already has this value.'),
});

export const boardLockedSchema = z.object({
  port: z.string(),
  chip: z.string(),
  mac: z.string().describe('Empty in secure download mode, in which it cannot be read.'),
  steps: z.array(lockStepSchema).describe('In the order in which they are burned.'),
  burned: z.int().describe('Number of fuses that this command burned.'),
  complete: z.boolean().describe('Whether all steps are done.'),
  encryptionKey: z.string().nullable().describe('File with the flash encryption key; null = not needed.'),
  problem: z
    .string()
    .nullable()
    .describe(
      'Reason why the board cannot be locked in its current state; null = it can be locked, or is already locked.',
    ),
  warnings: z.array(z.string()).describe('Keys on the board that could not be compared.'),
});

export type BoardLocked = z.output<typeof boardLockedSchema>;

/** The parts to lock, and the keys for them. */
export interface LockOptions {
  parts: readonly LockPart[];
  /** PEM files with one to three keys for secure boot; public keys suffice. */
  bootKeys: readonly string[];
  /** Folder with the keys of flash encryption, one for each board; a missing key is created. */
  encryptionKeys: string | undefined;
  /** File of the HMAC key for the NVS, 32 bytes; needed for the part `nvs-key`. */
  nvsKey?: string | undefined;
}

export interface LockRequest extends BoardRequest, LockOptions {
  /** Returns the MAC as typed by the user; null = only return the plan, and burn nothing. */
  confirm: ((plan: BoardLocked) => Promise<string>) | null;
  /** Called before each burn. */
  onStep?: (step: LockStep, done: number, total: number) => void;
}

/**
 * Plans which fuses lock a board, and burns them one by one if the user confirms with the board's MAC. An interrupted lock is continued
 * by the same request.
 * @throws AIOT_USAGE, AIOT_LOCK_REFUSED (before anything is burned), AIOT_LOCK_FAILED, AIOT_CHIP_*, AIOT_SERIAL_*
 */
export async function lockBoard(request: LockRequest): Promise<BoardLocked> {
  const { confirm } = request;
  const digests = await digestsOf(request);
  const port = await choosePort(request.port);
  const plan = await withBoard(keepingStill(request, port, confirm !== null), (loader) =>
    planFor(loader, request, { port, digests }),
  );
  if (confirm === null || plan.complete) return plan;
  const typed = await confirm(plan);
  if (typed.trim().toLowerCase() !== plan.mac)
    throw new AiotError('AIOT_USAGE', `expected the MAC of the board, ${plan.mac}, as confirmation`, {
      next: "Compare it with the board's label. Nothing was burned.",
    });
  // The ROM burns fuses. A stub would only occupy memory.
  const burning = { ...request, port, loader: { ...request.loader, stub: false } };
  return await withBoard(burning, (loader) => burnAll(loader, request, { digests, plan }));
}

/** A board that is not locked yet must not start in the meantime, because ESP-IDF's bootloader would burn fuses itself. */
function keepingStill(request: LockRequest, port: string, burns: boolean) {
  const { loader } = request;
  return { ...request, port, loader: burns ? { ...loader, after: 'no-reset' as const } : loader };
}

/** @throws AIOT_USAGE */
async function digestsOf({ parts, bootKeys, encryptionKeys, nvsKey }: LockOptions): Promise<Uint8Array[]> {
  const boot = parts.includes('secure-boot');
  if (parts.length === 0)
    throw new AiotError('AIOT_USAGE', `expected at least one of ${allLockParts.join(', ')}`);
  if (boot && (bootKeys.length === 0 || bootKeys.length > 3))
    throw new AiotError('AIOT_USAGE', `secure boot needs one to three keys, got ${bootKeys.length}`, {
      next: 'Pass the public keys with --boot-key, such as --boot-key secure.pem.',
    });
  if (parts.includes('flash-encryption') && encryptionKeys === undefined)
    throw new AiotError('AIOT_USAGE', "flash encryption needs a folder for the boards' keys", {
      next: 'Pass it with --encryption-keys, such as --encryption-keys ./board-keys.',
    });
  if (parts.includes('nvs-key') && nvsKey === undefined)
    throw new AiotError('AIOT_USAGE', "the part nvs-key needs the file of this board's HMAC key", {
      next: 'Pass it with --nvs-key, such as --nvs-key nvs.key.',
    });
  await nvsKeyOf({ parts, nvsKey });
  if (!boot) return [];
  const digests = await Promise.all(
    bootKeys.map(async (path) => {
      const key = await publicKeyOf(path);
      const digest = bootKeyDigest(key, path);
      // An ESP32-S3 and an ESP32-C3 verify only RSA signatures.
      if (key.asymmetricKeyType !== 'rsa')
        throw new AiotError(
          'AIOT_USAGE',
          `${path}: expected an RSA 3072 key; aiot cannot burn digests of other keys`,
        );
      return digest;
    }),
  );
  if (new Set(digests.map((digest) => digest.toString('hex'))).size < digests.length)
    throw new AiotError('AIOT_USAGE', 'the same key was passed twice with --boot-key');
  return digests;
}

/** The HMAC key for the NVS; null = the part is not locked. @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_MALFORMED */
export async function nvsKeyOf({
  parts,
  nvsKey,
}: Pick<LockOptions, 'parts' | 'nvsKey'>): Promise<Uint8Array | null> {
  if (!parts.includes('nvs-key') || nvsKey === undefined) return null;
  const key = await readBytes(nvsKey);
  nvsKeysOfHmac(key);
  return key;
}

/** File with the key of a board. */
export const keyFileOf = (folder: string, mac: string): string =>
  join(folder, `${mac.replaceAll(':', '')}.key`);

/**
 * The key of a board's flash encryption. It is stored before it is burned, because without it an interrupted lock could not be continued.
 * @throws AIOT_LOCK_REFUSED if the board has a key that is not in the folder, AIOT_FILE_…
 */
export async function encryptionKeyOf(
  loader: Pick<Loader, 'chip' | 'fuseWords' | 'securityInfo'>,
  folder: string,
): Promise<{ file: string; secret: Uint8Array }> {
  const { mac } = loader.chip;
  const file = keyFileOf(folder, mac);
  const stored = await readBytes(file).catch((error: unknown) => {
    if (error instanceof AiotError && error.code === 'AIOT_FILE_NOT_FOUND') return null;
    throw error;
  });
  if (stored !== null) {
    if (stored.length === 32) return { file, secret: stored };
    throw new AiotError('AIOT_FILE_MALFORMED', `${file}: expected a key of 32 bytes, got ${stored.length}`);
  }
  const security = await readSecurity(loader);
  if (security?.keys.some(({ purpose }) => purpose.startsWith('xts-')))
    throw new AiotError(
      'AIOT_LOCK_REFUSED',
      `the board ${mac} has a flash encryption key, but ${file} is missing`,
      {
        next: "Pass the folder with this board's key. Without the key, its flash can no longer be written.",
      },
    );
  const secret = new Uint8Array(randomBytes(32));
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await writeFileAtomic(file, secret, 0o600);
  return { file, secret };
}

async function planFor(
  loader: Loader,
  request: LockRequest,
  { port, digests }: { port: string; digests: readonly Uint8Array[] },
): Promise<BoardLocked> {
  const { chip, mac } = loader.chip;
  const about = { port, chip, mac, burned: 0 };
  const { parts, encryptionKeys, confirm } = request;
  if (loader.registers === null) {
    await requireLocked(loader, parts, digests.length);
    const warnings = parts.includes('nvs-key') ? [unknownNvsKey] : [];
    return { ...about, steps: [], complete: true, encryptionKey: null, problem: null, warnings };
  }
  const state = await readFuses(loader, loader.registers);
  const layout = layoutOf(loader);
  const encrypts = parts.includes('flash-encryption');
  // A plan alone does not create a key, because its steps are the same for every key.
  const stored = encrypts && encryptionKeys !== undefined && layout !== null;
  const key =
    stored && (confirm !== null || (await hasKey(encryptionKeys, mac)))
      ? await encryptionKeyOf(loader, encryptionKeys)
      : null;
  const secret = encrypts ? (key?.secret ?? new Uint8Array(randomBytes(32))) : null;
  const nvsKey = await nvsKeyOf(request);
  const steps = planLock(chip, state, { parts, digests, secret, nvsKey });
  const risky = steps.some(({ fuse, done }) => !done && /^SPI_BOOT_CRYPT_CNT|SECURE_BOOT_EN$/.test(fuse));
  const derived = nvsKey === null ? null : nvsKeysOfHmac(nvsKey);
  const begun = steps.some(({ part, done }) => part === 'nvs-key' && !done);
  const check = risky
    ? () => requireBootable(loader, digests.map(hexOf), { secret, derived })
    : begun
      ? () => requireKeyOfNvs(loader, derived)
      : null;
  const problem = check === null ? null : await problemOf(check, confirm !== null);
  const complete = steps.every(({ done }) => done);
  const hidden = nvsKey !== null && securityFuses(chip, state.words).keys[nvsKeyBlock]!.readProtected;
  const warnings = hidden ? [unknownNvsKey] : [];
  return { ...about, steps: steps.map(shown), complete, encryptionKey: key?.file ?? null, problem, warnings };
}

const unknownNvsKey = `block ${nvsKeyBlock} already contains an HMAC key, which cannot be read; make sure that it is the one in the file of --nvs-key`;

const hasKey = async (folder: string, mac: string) =>
  await readBytes(keyFileOf(folder, mac)).then(
    () => true,
    () => false,
  );

const hexOf = (digest: Uint8Array) => Buffer.from(digest).toString('hex');

/** Checks the NVS of a board on which only the HMAC key is burned. Nothing is checked if its flash is encrypted, or has no table. */
async function requireKeyOfNvs(loader: Loader, derived: Uint8Array | null): Promise<void> {
  const read = (offset: number, length: number) => loader.read(offset, length);
  const partitions = partitionsIn(await read(partitionTableOffset, partitionTableBytes));
  await requireNvsReadable(partitions, { stored: read, plain: read }, derived);
}

/** Why the board cannot be locked. @throws AIOT_LOCK_REFUSED with that reason if it is about to be locked */
async function problemOf(check: () => Promise<void>, burns: boolean): Promise<string | null> {
  try {
    await check();
    return null;
  } catch (error) {
    if (!burns && hasCode(error, 'AIOT_LOCK_REFUSED')) return error.message;
    throw error;
  }
}

const layoutOf = ({ chip }: Pick<Loader, 'chip'>): BurnLayout | null => burnLayouts[chip.chip] ?? null;

const shown = ({ part, fuse, value, reason, lost, done }: LockStep) => ({
  ...{ part, fuse, value, reason, lost, done },
});

/** Checks a chip in secure download mode, in which only the ROM's report can be read. @throws AIOT_CHIP_LOCKED */
async function requireLocked(loader: Loader, parts: readonly LockPart[], keys: number): Promise<void> {
  const state = await readSecurity(loader);
  const missing = parts.find((part) => {
    if (state === null) return true;
    if (part === 'secure-boot') return state.secureBoot.version !== 2 || keys === 0;
    if (part === 'flash-encryption') return !state.flashEncryption.enabled;
    if (part === 'nvs-key')
      return !state.keys.some(({ block, purpose }) => block === nvsKeyBlock && purpose === 'hmac-up');
    return part === 'jtag' && state.jtag.pins === 'enabled';
  });
  if (missing === undefined) return;
  throw new AiotError('AIOT_CHIP_LOCKED', `the chip is in secure download mode without ${missing}`, {
    next: 'Only the program that runs on the chip can burn its fuses.',
  });
}

/** The fuses of a chip, as its controller shows them. */
async function readFuses(loader: BurnLoader, registers: RegisterAccess): Promise<FuseState> {
  const layout = layoutOf(loader);
  if (layout === null) return { words: (await loader.fuseWords()) ?? [], keys: [] };
  const block = async (index: number) => {
    const words: number[] = [];
    const from = layout.controller + blockOffset(index);
    for (let word = 0; word < (blockWords[index] ?? 0); word++)
      words.push(await registers.read(from + 4 * word));
    return words;
  };
  const keys: Uint8Array[] = [];
  for (let key = 0; key < keyBlockCount; key++) {
    const bytes = Buffer.alloc(32);
    for (const [word, value] of (await block(firstKeyBlock + key)).entries())
      bytes.writeUInt32LE(value, 4 * word);
    keys.push(bytes);
  }
  return { words: await block(0), keys };
}

type BurnLoader = Pick<Loader, 'chip' | 'registers' | 'fuseWords' | 'securityInfo'>;

/**
 * Burns the steps of a plan that are not done, and checks each.
 * @throws AIOT_LOCK_REFUSED (another board), AIOT_LOCK_FAILED, AIOT_CHIP_*, AIOT_SERIAL_*
 */
export async function burnAll(
  loader: BurnLoader,
  request: Pick<LockRequest, 'parts' | 'encryptionKeys' | 'nvsKey' | 'onStep'> & {
    loader: { signal?: AbortSignal | undefined };
  },
  { digests, plan }: { digests: readonly Uint8Array[]; plan: BoardLocked },
): Promise<BoardLocked> {
  const { registers } = loader;
  const layout = layoutOf(loader);
  const { mac } = loader.chip;
  if (registers === null || layout === null || mac !== plan.mac)
    throw new AiotError('AIOT_LOCK_REFUSED', `another board was connected: ${mac} instead of ${plan.mac}`);
  const { parts, encryptionKeys, onStep } = request;
  const encrypts = parts.includes('flash-encryption') && encryptionKeys !== undefined;
  const secret = encrypts ? (await encryptionKeyOf(loader, encryptionKeys)).secret : null;
  const keys = { digests, secret, nvsKey: await nvsKeyOf(request) };
  const stepsNow = async () =>
    planLock(loader.chip.chip, await readFuses(loader, registers), { parts, ...keys });
  const steps = await stepsNow();
  let burned = 0;
  for (const [index, step] of steps.entries()) {
    if (step.done) continue;
    request.loader.signal?.throwIfAborted();
    onStep?.(step, index, steps.length);
    await burn(registers, layout, step);
    burned++;
    // After the last fuse is burned, the others are inaccessible.
    if (step.fuse === 'ENABLE_SECURITY_DOWNLOAD') await requireSecureDownload(registers);
    else if (!(await stepsNow())[index]?.done)
      throw new AiotError('AIOT_LOCK_FAILED', `${step.fuse} does not have the value ${step.value}`);
  }
  return { ...plan, steps: steps.map((step) => ({ ...shown(step), done: true })), burned, complete: true };
}

async function requireSecureDownload(registers: RegisterAccess): Promise<void> {
  const report = await registers.security();
  if (((report?.flags ?? 0) & 0b100) === 0)
    throw new AiotError('AIOT_LOCK_FAILED', 'the chip does not report secure download mode');
}

/**
 * Burns one step. The data is read back from the controller before the burn, because the ROM's requests for registers have no checksum.
 * @throws AIOT_LOCK_FAILED, AIOT_CHIP_*, AIOT_SERIAL_*
 */
async function burn(registers: RegisterAccess, layout: BurnLayout, { burn: wanted, fuse }: LockStep) {
  const { controller, timing, fields } = layout;
  const set = (offset: number, value: number) => registers.write(controller + offset, value);
  const data = Buffer.alloc(44);
  let block = 0;
  if ('key' in wanted) {
    block = firstKeyBlock + wanted.key;
    data.set(wanted.data);
    data.set(checkBytesOf(wanted.data), 32);
  } else {
    const { word, bit } = fields[wanted.fuse]!;
    data.writeUInt32LE((wanted.value * 2 ** bit) >>> 0, 4 * word);
  }
  for (const { offset, mask, value } of timing) {
    const before = await registers.read(controller + offset);
    await set(offset, ((before & ~mask) | value) >>> 0);
  }
  for (let at = 0; at < data.length; at += 4) await set(fuseRegisters.data + at, data.readUInt32LE(at));
  for (let at = 0; at < data.length; at += 4) {
    const found = await registers.read(controller + fuseRegisters.data + at);
    if (found === data.readUInt32LE(at)) continue;
    throw new AiotError(
      'AIOT_LOCK_FAILED',
      `${fuse}: the controller received ${hex(found)}; nothing was burned`,
    );
  }
  await set(fuseRegisters.configuration, fuseCommands.write);
  await set(fuseRegisters.command, fuseCommands.program | (block << 2));
  await idle(registers, controller);
  for (let at = 0; at < data.length; at += 4) await set(fuseRegisters.data + at, 0);
  await set(fuseRegisters.configuration, fuseCommands.read);
  await set(fuseRegisters.command, fuseCommands.readAll);
  if (fuse !== 'ENABLE_SECURITY_DOWNLOAD') await idle(registers, controller);
}

/** A burn takes less than a millisecond, and each query about 2 ms. */
const mostQuestions = 100;

async function idle(registers: RegisterAccess, controller: number): Promise<void> {
  for (let question = 0; question < mostQuestions; question++)
    if (((await registers.read(controller + fuseRegisters.command)) & 3) === 0) return;
  throw new AiotError('AIOT_LOCK_FAILED', 'the fuse controller did not finish');
}
