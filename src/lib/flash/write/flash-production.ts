import { AiotError } from '../../core/errors.js';
import { hex } from '../../core/figures.js';
import { espChips } from '../../formats/esp-image/chips.js';
import { bootKeyDigest, signedImage } from '../../formats/esp-image/secure-boot.js';
import { cryptFlash } from '../../formats/flash-encryption.js';
import { nvsKeysOfHmac } from '../../formats/nvs/hmac.js';
import {
  partitionTableBytes,
  partitionTableOffset,
  partitionTypes,
  readPartitionTable,
} from '../../formats/partitions.js';
import { withBoard } from '../board.js';
import { publicKeyOf } from '../images/keys.js';
import type { Loader, Region } from '../loader/types.js';
import {
  encryptedRanges,
  partitionsIn,
  type Range,
  requireNvsReadable,
  requireSecretsEncrypted,
} from '../lock/contents.js';
import { encryptionKeyOf, type LockOptions, type LockRequest, lockBoard, nvsKeyOf } from '../lock/lock.js';
import { md5Of } from '../plan/pieces.js';
import { planWrite } from '../plan/plan.js';
import { boardFor } from './flash-board.js';
import type { ProductionFlashed } from './result.js';
import { type BoardRow, type FlashRequest, portsOf, prepareJob } from './run-flash.js';

export type { ProductionFlashed } from './result.js';

export interface LockAsked extends LockOptions, Pick<LockRequest, 'confirm' | 'onStep'> {}

/**
 * Executes `aiot flash --profile production`: writes signed images, encrypted with the board's own key, then locks the board. Without a
 * confirmation, only the plan of the fuses is returned. The same request continues after an interruption.
 * @throws AIOT_USAGE, AIOT_LOCK_REFUSED (unsigned images), and the errors of writing and of `lockBoard`
 */
export async function flashProduction(
  request: FlashRequest,
  lock: LockAsked,
  _told: { row: (row: BoardRow) => void; ask: (text: string) => void },
): Promise<ProductionFlashed> {
  requireAlone(request);
  const [port, ...more] = await portsOf(request);
  if (port === undefined || more.length > 0)
    throw new AiotError(
      'AIOT_USAGE',
      `--profile production locks one board at a time, got ${more.length + 1} ports`,
    );
  const job = await prepareJob(request, []);
  const { loader: options } = request;
  const locked = { ...lock, port };
  // Without a confirmation, nothing is written, as with a dry run.
  if (lock.confirm === null || request.dryRun) {
    const plan = await lockBoard({ ...locked, loader: options, confirm: null });
    return { ...plan, problem: null, regions: [], device: null };
  }
  const written = await withBoard({ port, loader: { ...options, after: 'no-reset' } }, (loader) =>
    writeSigned(loader, job(loader.chip), lock),
  );
  const done = await lockBoard({ ...locked, loader: options });
  return { ...done, ...written, warnings: [...written.warnings, ...done.warnings] };
}

function requireAlone({ slot, firmware, model, all, erase, watch, record, force }: FlashRequest): void {
  const given = Object.entries({ slot, firmware, model, all, erase, watch, record, force });
  const [other] = given.find(([, value]) => value !== undefined && value !== null && value !== false) ?? [];
  if (other !== undefined)
    throw new AiotError('AIOT_USAGE', `--${other} cannot be combined with --profile production`);
}

type Job = ReturnType<Awaited<ReturnType<typeof prepareJob>>>;

async function writeSigned(loader: Loader, job: Job, lock: LockAsked) {
  const { chip, security } = loader.chip;
  const device = job.device?.name ?? null;
  if (security.secureDownload)
    return { regions: [], device, warnings: ['nothing was written, because the board is locked'] };
  const open = { secureBoot: false, flashEncryption: false, secureDownload: false };
  const board = { ...(await boardFor(loader, job.pieces)), security: open };
  const { header, device: identity } = job;
  const plan = planWrite({
    pieces: job.pieces,
    board,
    boardTable: null,
    header,
    erase: false,
    force: false,
    device: identity,
  });
  const table = plan.regions.find(({ offset }) => offset === partitionTableOffset);
  const merged = plan.regions.find((region) => contains(region, partitionTableOffset, partitionTableBytes));
  if (table === undefined && merged === undefined)
    throw new AiotError(
      'AIOT_USAGE',
      '--profile production writes the whole program, but no partition table was given',
      {
        next: 'Specify the bootloader, partition table and app, or the firmware folder with --project.',
      },
    );
  await requireSigned(plan.regions, espChips[chip].bootloaderOffset, lock);
  const encrypts = lock.parts.includes('flash-encryption') && lock.encryptionKeys !== undefined;
  const secret = encrypts ? (await encryptionKeyOf(loader, lock.encryptionKeys!)).secret : null;
  const plain = (offset: number, length: number) => bytesAt(plan.regions, offset, length);
  const flashBytes = loader.chip.flash.bytes ?? Number.POSITIVE_INFINITY;
  const ranges = secret === null ? [] : encryptedRanges(espChips[chip].bootloaderOffset, flashBytes, plain);
  const regions: (Region & { encrypted: boolean })[] = plan.regions.map((region) => {
    const data = secret === null ? region.data : encryptRegion(region, ranges, secret);
    return { ...region, data, encrypted: data !== region.data };
  });
  const newTable = plain(partitionTableOffset, partitionTableBytes);
  if (secret !== null) await requireSecretsCovered(loader, regions, newTable);
  const hmacKey = await nvsKeyOf(lock);
  const inFlash = afterWrite(loader, regions);
  const visible = async (offset: number, length: number) => {
    const bytes = await inFlash(offset, length);
    return secret === null ? bytes : cryptFlash(bytes, { secret, address: offset, decrypt: true });
  };
  await requireNvsReadable(
    readPartitionTable(newTable).partitions,
    { stored: inFlash, plain: visible },
    hmacKey === null ? null : nvsKeysOfHmac(hmacKey),
  );
  const results = await loader.write(regions);
  return {
    regions: regions.map(({ name, offset, data, encrypted }, index) => {
      const skipped = results[index]?.skipped ?? false;
      return {
        name,
        offset,
        bytes: data.length,
        skipped,
        written: skipped ? 0 : data.length,
        md5: md5Of(data),
        encrypted,
      };
    }),
    device,
    warnings: plan.warnings,
  };
}

/**
 * Checks every NVS of the new table, and of the board's earlier one, as the flash will be after the regions are written.
 * @throws AIOT_LOCK_REFUSED if a secret would stay readable
 */
async function requireSecretsCovered(
  loader: Loader,
  regions: readonly Region[],
  table: Uint8Array,
): Promise<void> {
  const stored = afterWrite(loader, regions);
  await requireSecretsEncrypted(readPartitionTable(table).partitions, stored);
  const earlier = await loader.read(partitionTableOffset, partitionTableBytes);
  await requireSecretsEncrypted(partitionsIn(earlier), stored);
}

/** Reads the flash as it will be after the regions are written. */
function afterWrite(loader: Loader, regions: readonly Region[]) {
  return async (offset: number, length: number): Promise<Uint8Array> => {
    const covered = regions.some((region) => contains(region, offset, length));
    return overlay(covered ? new Uint8Array(length) : await loader.read(offset, length), offset, regions);
  };
}

const contains = (region: Region, offset: number, length: number) =>
  region.offset <= offset && region.offset + region.data.length >= offset + length;

/** The flash contents according to the regions, with FF where nothing is written. */
function bytesAt(regions: readonly Region[], offset: number, length: number): Uint8Array {
  return overlay(new Uint8Array(length).fill(0xff), offset, regions);
}

/** Replaces the bytes at an offset with those of the regions. */
function overlay(bytes: Uint8Array, offset: number, regions: readonly Region[]): Uint8Array {
  for (const region of regions) {
    const from = Math.max(offset, region.offset);
    const to = Math.min(offset + bytes.length, region.offset + region.data.length);
    if (from < to) bytes.set(region.data.subarray(from - region.offset, to - region.offset), from - offset);
  }
  return bytes;
}

/** Encrypts the parts of a region that the hardware decrypts. Each part begins and ends at a sector boundary or at an end of the region. */
function encryptRegion(region: Region, ranges: readonly Range[], secret: Uint8Array): Uint8Array {
  const inRange = ranges.filter(
    ({ offset, length }) => offset < region.offset + region.data.length && offset + length > region.offset,
  );
  if (inRange.length === 0) return region.data;
  const blockBytes = 16;
  const data = new Uint8Array(Math.ceil(region.data.length / blockBytes) * blockBytes).fill(0xff);
  data.set(region.data);
  for (const { offset, length } of inRange) {
    const from = Math.max(offset, region.offset);
    const to = Math.min(offset + length, region.offset + data.length);
    const part = data.subarray(from - region.offset, to - region.offset);
    // Erased flash is not encrypted. It is never executed, and otadata must be erased or valid.
    if (part.every((byte) => byte === 0xff)) continue;
    data.set(cryptFlash(part, { secret, address: from, decrypt: false }), from - region.offset);
  }
  return data;
}

/** @throws AIOT_LOCK_REFUSED if the bootloader or an app has no valid signature by one of the keys */
async function requireSigned(
  regions: readonly Region[],
  bootloaderOffset: number,
  lock: LockAsked,
): Promise<void> {
  const limit = partitionTableOffset - bootloaderOffset;
  const bootloader = bytesAt(regions, bootloaderOffset, limit);
  const { partitions } = readPartitionTable(bytesAt(regions, partitionTableOffset, partitionTableBytes));
  const apps = partitions.filter(({ type }) => type === partitionTypes.app);
  const images = [
    { what: `the bootloader at ${hex(bootloaderOffset)}`, bytes: bootloader },
    ...apps.map(({ label, offset, size }) => ({
      what: `the app in ${label}`,
      bytes: bytesAt(regions, offset, size),
    })),
  ].filter(({ bytes }, index) => index === 0 || bytes.some((byte) => byte !== 0xff));
  if (images.length < 2)
    throw new AiotError('AIOT_LOCK_REFUSED', 'no app is written, so the board could not start');
  if (!lock.parts.includes('secure-boot')) return;
  const keys = await Promise.all(
    lock.bootKeys.map(async (path) => bootKeyDigest(await publicKeyOf(path), path).toString('hex')),
  );
  for (const { what, bytes } of images) {
    const { signatures } = signedImage(bytes, what);
    if (signatures.some(({ valid, keyDigest }) => valid && keys.includes(keyDigest))) continue;
    const why = signatures.length === 0 ? 'is not signed' : 'is not signed with a key of --boot-key';
    throw new AiotError('AIOT_LOCK_REFUSED', `${what} ${why}`, {
      next: 'Sign it: `aiot firmware sign IMAGE --key KEY --secure-boot v2 --out FILE`.',
    });
  }
}
