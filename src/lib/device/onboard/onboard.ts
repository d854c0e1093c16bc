import { z } from 'zod';
import { AiotError } from '../../core/index.js';
import {
  type ChipInfo,
  type Loader,
  type LoaderOptions,
  openLine,
  openLoader,
  type RegionResult,
} from '../../flash/index.js';
import { chipNames, type PartitionTable, readPartitionTable } from '../../formats/index.js';
import {
  type CommonImage,
  type DeviceImage,
  type Enrolment,
  imageParts,
  imageTable,
  type MakeOptions,
  makeDevice,
  type OldNvs,
  provisionedDeviceSchema,
} from '../../provision/index.js';
import { birthChipOf, nvsOf, partitionOf, requireOpen, staleKeys, staleNvs, tableOf } from './board.js';

export const onboardedSchema = provisionedDeviceSchema.extend({
  board: z.object({
    port: z.string(),
    chip: z.enum(chipNames),
    /** As the maker names it, with package and revision. */
    description: z.string(),
    mac: z.string(),
    /** The guide's decimal chip id. */
    chipId: z.string().nullable(),
    regions: z.array(
      z.object({
        name: z.string(),
        offset: z.int(),
        bytes: z.int(),
        /** The flash had these bytes already. */
        skipped: z.boolean(),
        /** As the chip computes it, 32 hex digits. */
        md5: z.string(),
      }),
    ),
    /** The flash was compared with what was to be written. */
    verified: z.boolean(),
    seconds: z.number(),
  }),
});
export type Onboarded = z.output<typeof onboardedSchema>;

export interface OnboardOptions extends Pick<MakeOptions, 'client' | 'name' | 'out' | 'privatePem' | 'now'> {
  /** What is asked of the platform, for the board that is there. `held`: what its NVS has. */
  how: (chip: ChipInfo, held: () => Promise<OldNvs | null>) => Enrolment | Promise<Enrolment>;
  /** Refuses a board by what its NVS says, before anything is asked or written: of one whose NVS is kept. */
  requireOld?: (old: OldNvs) => void;
  image: CommonImage;
  port: string;
  loader: LoaderOptions;
  /** How a board is reached: replaced in tests. */
  open?: (port: string, options: LoaderOptions) => Promise<Loader>;
  /** What is being done, for people. */
  onStage?: (text: string) => void;
}

/** Speed of the ROMs' loaders before another one is agreed. */
const firstBaud = 115_200;

async function openBoard(port: string, options: LoaderOptions): Promise<Loader> {
  const { signal } = options;
  return await openLoader(await openLine(port, { baud: firstBaud, ...(signal && { signal }) }), options);
}

/**
 * Makes the board at a port the device: key and certificate, its image into flash, verified, and the signed birth
 * certificate in the registry. The board keeps the partition table that it has, unless another is given. Where the
 * writing fails, a new registration is taken back.
 * @throws AIOT_SERIAL_…, AIOT_CHIP_…, AIOT_FLASH_… with the port let go, and as `makeDevice`
 */
export async function onboardDevice(options: OnboardOptions): Promise<Onboarded> {
  const { port, onStage } = options;
  const began = performance.now();
  onStage?.(`connecting to ${port}`);
  const loader = await (options.open ?? openBoard)(port, options.loader);
  let done: { device: Awaited<ReturnType<typeof makeDevice>>; regions: Onboarded['board']['regions'] };
  try {
    done = await make(loader, options);
  } catch (error) {
    // The first reason is the one to tell.
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
    board: { port, chip, description, mac, chipId, regions: done.regions, verified: true, seconds },
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
  let regions: Onboarded['board']['regions'] = [];
  const write = async (made: DeviceImage) => {
    onStage?.(`writing the identity of ${name}`);
    regions = await writeImage(loader, made, {
      keepsTable,
      replaced,
      encrypted: Boolean(made.keys ?? image.old?.keys),
    });
    return birthChipOf(chip);
  };
  onStage?.(`asking for the certificate of ${name}`);
  const device = await makeDevice({
    ...{ client, name, how, out, privatePem, now, write },
    chip: { ...image, chip: chip.chip },
  });
  return { device, regions };
}

/** A rotation keeps the keys of an encrypted NVS, and writes them nowhere. @throws AIOT_PARTITIONS_MALFORMED */
function requireKeysStay(before: PartitionTable, next: PartitionTable): void {
  const [from, to] = [partitionOf(before, 'nvs_keys'), partitionOf(next, 'nvs_keys')];
  if (!from || to?.offset === from.offset) return;
  const at = `0x${from.offset.toString(16)}`;
  throw new AiotError(
    'AIOT_PARTITIONS_MALFORMED',
    `the board has the keys of its encrypted NVS at ${at}, and the given table has no nvs_keys partition there`,
    { next: `Give a table with this row: nvs_keys,data,nvs_keys,${at},0x1000,encrypted` },
  );
}

/** The image for this board: with its own table, where it has one and no other is given, and what a device keeps. */
async function imageOn(loader: Loader, asked: CommonImage, how: Enrolment) {
  const there = await tableOf(loader);
  const own = asked.table === null ? there : null;
  const old = how.kind === 'rotate' && there ? await nvsOf(loader, there.table) : null;
  if (how.kind === 'rotate' && old === null) {
    throw new AiotError(
      'AIOT_NVS_MALFORMED',
      'the board has no NVS to keep: it is not the device as it was made',
      {
        next: 'Write it as a new board: aiot device replace NAME --port PORT',
      },
    );
  }
  // As its bytes are: a table may have rows that no text of ours says, or no checksum.
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
