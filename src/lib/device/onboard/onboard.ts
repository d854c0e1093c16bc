import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { hex } from '../../core/figures.js';
import { openLoader } from '../../flash/loader/open-loader.js';
import type { ChipInfo, Loader, LoaderOptions, RegionResult } from '../../flash/loader/types.js';
import { openLine } from '../../flash/port/open-line.js';
import { returnMs } from '../../flash/port/returning-line.js';
import { programOn } from '../../flash/write/flash-board.js';
import { chipNames } from '../../formats/esp-image/chips.js';
import type { BirthChip } from '../../formats/manifest/birth.js';
import { nvsKeysInUse } from '../../formats/nvs/crypt.js';
import {
  type Partition,
  type PartitionTable,
  partitionTableBytes,
  partitionTableOffset,
  readPartitionTable,
} from '../../formats/partitions.js';
import { partsOf as imageParts, type OldNvs } from '../../provision/chip-image.js';
import type { CommonImage } from '../../provision/chip-options.js';
import { type DeviceImage, imageTable } from '../../provision/device-image.js';
import type { Enrolment } from '../../provision/enroll.js';
import { type MakeOptions, makeDevice, provisionedDeviceSchema } from '../../provision/provision.js';

export const onboardedSchema = provisionedDeviceSchema.extend({
  board: z.object({
    port: z.string(),
    chip: z.enum(chipNames),
    /** Manufacturer's name, with package and revision. */
    description: z.string(),
    mac: z.string(),
    /** The guide's decimal chip id. */
    chipId: z.string().nullable(),
    regions: z.array(
      z.object({
        name: z.string(),
        offset: z.int(),
        bytes: z.int(),
        /** Whether the flash already had these bytes. */
        skipped: z.boolean(),
        /** MD5 of the region's data, 32 hex digits. */
        md5: z.string(),
      }),
    ),
    /** Whether the flash was compared with the written data. */
    verified: z.boolean(),
    /** Whether the chip has a program that uses the identity; null if the flash cannot be read. */
    program: z.enum(['unchanged', 'none']).nullable(),
    seconds: z.number(),
  }),
});

export type Onboarded = z.output<typeof onboardedSchema>;

interface OnboardOptions extends Pick<MakeOptions, 'client' | 'name' | 'out' | 'privatePem' | 'now'> {
  /** Chooses the enrolment for the connected board. `held`: the current contents of the board's NVS. */
  how: (chip: ChipInfo, held: () => Promise<OldNvs | null>) => Enrolment | Promise<Enrolment>;
  /**
   * May reject a board because of its NVS, before the platform is contacted or anything is written. Called only if the NVS is to be
   * preserved.
   */
  requireOld?: (old: OldNvs) => void;
  image: CommonImage;
  port: string;
  loader: LoaderOptions;
  /** Opens the board; replaced in tests. */
  open?: (port: string, options: LoaderOptions) => Promise<Loader>;
  /** Called with a human-readable description of each stage. */
  onStage?: (text: string) => void;
}

/** Initial speed of the ROM loaders. */
const firstBaud = 115_200;

async function openBoard(port: string, options: LoaderOptions): Promise<Loader> {
  const { signal } = options;
  return await openLoader(
    await openLine(port, { baud: firstBaud, returnMs, ...(signal && { signal }) }),
    options,
  );
}

/**
 * Provisions the board at a port: creates a key and a certificate, writes the image to flash, verifies it, and stores
 * the signed birth certificate in the registry. The board keeps its partition table unless another table is given. If
 * writing fails, a new registration is undone.
 * @throws AIOT_SERIAL_…, AIOT_CHIP_…, AIOT_FLASH_… after closing the port, and the errors of `makeDevice`
 */
export async function onboardDevice(options: OnboardOptions): Promise<Onboarded> {
  const { port, onStage } = options;
  const began = performance.now();
  onStage?.(`connecting to ${port}`);
  const loader = await (options.open ?? openBoard)(port, options.loader);
  let done: Awaited<ReturnType<typeof make>>;
  try {
    done = await make(loader, options);
  } catch (error) {
    // The error from ending the session is dropped, because the original error must be reported.
    await loader.end().catch(() => {});
    throw error;
  }
  await loader.end();
  const { enrolled, ...device } = done.device;
  const { chip, description, mac } = loader.chip;
  const { chipId } = enrolled.reply.device;
  const seconds = Math.round(performance.now() - began) / 1000;
  return {
    ...device,
    board: {
      ...{ port, chip, description, mac, chipId },
      ...{ regions: done.regions, verified: true, program: done.program, seconds },
    },
  };
}

async function make(loader: Loader, options: OnboardOptions) {
  const { client, name, out, privatePem, now, onStage } = options;
  const { chip } = loader;
  requireOpen(chip);
  const how = await options.how(chip, async () => {
    const table = await tableOf(loader);
    return table && (await nvsOf(loader, table.table));
  });
  const { image, keepsTable, replaced } = await imageOn(loader, options.image, how);
  if (image.old) options.requireOld?.(image.old);
  const found = await programOn(loader, [], { table: (await tableOf(loader))?.table ?? null, erase: false });
  const program = found === 'none' || found === null ? found : ('unchanged' as const);
  let regions: Onboarded['board']['regions'] = [];
  const write = async (made: DeviceImage) => {
    onStage?.(`writing the identity of ${name}`);
    regions = await writeImage(loader, made, {
      keepsTable,
      replaced,
      encrypted: Boolean(made.keys ?? (image.derivedKeys ? null : image.old?.keys)),
    });
    return birthChipOf(chip);
  };
  onStage?.(`asking for the certificate of ${name}`);
  const device = await makeDevice({
    ...{ client, name, how, out, privatePem, now, write },
    chip: { ...image, chip: chip.chip },
  });
  return { device, regions, program };
}

/** Checks that the keys of an encrypted NVS stay in place, because a rotation does not rewrite them. @throws AIOT_FILE_MALFORMED */
function requireKeysStay(before: PartitionTable, next: PartitionTable): void {
  const [from, to] = [partitionOf(before, 'nvs_keys'), partitionOf(next, 'nvs_keys')];
  if (!from || to?.offset === from.offset) return;
  const at = hex(from.offset);
  throw new AiotError(
    'AIOT_FILE_MALFORMED',
    `the board's NVS keys are at ${at}, but the partition table given has no nvs_keys partition there`,
    {
      subject: 'partitions',
      next: `Use a table with this row: nvs_keys,data,nvs_keys,${at},0x1000,encrypted`,
    },
  );
}

/**
 * The image for this board. It contains the board's own table, unless another table is given, and the settings that the device retains.
 */
async function imageOn(loader: Loader, asked: CommonImage, how: Enrolment) {
  const there = await tableOf(loader);
  const own = asked.table === null ? there : null;
  const old = how.kind === 'rotate' && there ? await nvsOf(loader, there.table) : null;
  if (how.kind === 'rotate' && old === null) {
    throw new AiotError(
      'AIOT_FILE_MALFORMED',
      'the board has no NVS to update, so it is no longer the device that was provisioned',
      { subject: 'nvs', next: 'Set it up as a new board with `aiot device replace NAME --port PORT`.' },
    );
  }
  // The original bytes are used, because the table may contain rows that CSV cannot express, or lack a checksum.
  const table = asked.table ?? own?.bytes ?? null;
  const flashBytes = loader.chip.flash.bytes ?? asked.flashBytes;
  const replaced = own === null && there ? there.table : null;
  const image = { ...asked, table, flashBytes, old };
  if (old?.keys && replaced) requireKeysStay(replaced, imageTable(image));
  return { image, keepsTable: own !== null, replaced };
}

async function writeImage(
  loader: Loader,
  image: DeviceImage,
  {
    keepsTable,
    replaced,
    encrypted,
  }: { keepsTable: boolean; replaced: PartitionTable | null; encrypted: boolean },
) {
  const next = readPartitionTable(image.partitions.data);
  const keys = encrypted ? null : await staleKeys(loader, next);
  const nvs = replaced && (await staleNvs(loader, { old: replaced, next }));
  const parts = imageParts(image).filter(({ name }) => name !== 'partitions' || !keepsTable);
  const regions = [
    ...parts.map(({ name, offset, data }) => ({ name: name as string, offset, data })),
    ...(keys ? [keys] : []),
    ...(nvs ? [nvs] : []),
  ];
  const results: RegionResult[] = await loader.write(regions);
  return results.map((result, i) => ({ name: regions[i]?.name ?? '', ...result }));
}

/** The chip's entry in the birth certificate. */
function birthChipOf(info: ChipInfo): BirthChip {
  const { chip, description, features, crystalMHz, mac, flash, security } = info;
  return {
    name: chip,
    ...{ description, features, crystalMHz, mac },
    flash: { id: flash.id, bytes: flash.bytes },
    security: {
      secureBoot: security.secureBoot,
      flashEncryption: security.flashEncryption,
      secureDownload: security.secureDownload,
    },
  };
}

/** Rejects boards that would not boot afterward, or whose certificate would be unusable. @throws AIOT_CHIP_LOCKED, AIOT_FLASH_REFUSED */
function requireOpen({ security }: ChipInfo): void {
  if (security.secureDownload) {
    throw new AiotError(
      'AIOT_CHIP_LOCKED',
      'the chip is in secure download mode: its flash cannot be verified',
      {
        next: 'Let the board claim its own certificate. Create the claim with `aiot device claim NAME --type TYPE --out claim.json`.',
      },
    );
  }
  if (!security.flashEncryption) return;
  throw new AiotError(
    'AIOT_FLASH_REFUSED',
    'the chip encrypts its flash and could not read a partition table written over the cable',
    {
      next: 'Let the board claim its own certificate. Create the claim with `aiot device claim NAME --type TYPE --out claim.json`.',
    },
  );
}

const emptyByte = 0xff;

/** The board's own partition table and its raw bytes; null if there is no table or if it is damaged. */
async function tableOf(
  loader: Pick<Loader, 'read'>,
): Promise<{ bytes: Uint8Array; table: PartitionTable } | null> {
  const bytes = await loader.read(partitionTableOffset, partitionTableBytes);
  if (bytes.every((byte) => byte === emptyByte)) return null;
  try {
    return { bytes, table: readPartitionTable(bytes) };
  } catch (error) {
    if (error instanceof AiotError) return null;
    throw error;
  }
}

const data = 1;
const subtypes = { nvs: 0x02, nvs_keys: 0x04 } as const;

/** The partition whose name matches its subtype or, if there is none, the subtype's first partition. */
function partitionOf(table: PartitionTable, kind: keyof typeof subtypes): Partition | null {
  const of = table.partitions.filter(({ type, subtype }) => type === data && subtype === subtypes[kind]);
  return of.find(({ label }) => label === kind) ?? of[0] ?? null;
}

/**
 * The NVS on a device's board, with its keys if it is encrypted; null if there is no NVS or if it was never written.
 */
async function nvsOf(loader: Pick<Loader, 'read'>, table: PartitionTable) {
  const [place, keysPlace] = [partitionOf(table, 'nvs'), partitionOf(table, 'nvs_keys')];
  if (!place) return null;
  const nvs = await loader.read(place.offset, place.size);
  if (nvs.every((byte) => byte === emptyByte)) return null;
  const keys = keysPlace ? await loader.read(keysPlace.offset, keysPlace.size) : null;
  return { nvs, keys: nvsKeysInUse(nvs, keys) ? keys : null };
}

/**
 * A region that erases the keys of an earlier, encrypted NVS, because firmware that finds keys cannot read a plain NVS. Null if the board
 * has none.
 */
async function staleKeys(
  loader: Pick<Loader, 'read'>,
  table: PartitionTable,
): Promise<{ name: string; offset: number; data: Uint8Array } | null> {
  const place = partitionOf(table, 'nvs_keys');
  if (!place) return null;
  const there = await loader.read(place.offset, place.size);
  if (there.every((byte) => byte === emptyByte)) return null;
  return { name: place.label, offset: place.offset, data: new Uint8Array(place.size).fill(emptyByte) };
}

/**
 * A region that erases the NVS of the board's previous table. If the new table has no NVS there, a private key and the
 * Wi-Fi password would remain readable. Null if there is no such NVS, or if the NVS is overwritten anyway.
 */
async function staleNvs(
  loader: Pick<Loader, 'read'>,
  { old, next }: { old: PartitionTable; next: PartitionTable },
): Promise<{ name: string; offset: number; data: Uint8Array } | null> {
  const place = partitionOf(old, 'nvs');
  if (!place) return null;
  const { offset, size, label } = place;
  const taken = next.partitions.some((p) => p.offset < offset + size && offset < p.offset + p.size);
  if (taken || (await loader.read(offset, size)).every((byte) => byte === emptyByte)) return null;
  return { name: `${label} of the old table`, offset, data: new Uint8Array(size).fill(emptyByte) };
}
