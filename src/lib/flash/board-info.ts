import * as z from 'zod';
import { AiotError } from '../core/errors.js';
import { hex } from '../core/figures.js';
import { firstContents } from '../formats/archive.js';
import { espChips, flashFrequencies, flashModes, flashSizes } from '../formats/esp-image/chips.js';
import { imageStartBytes, readImageStart } from '../formats/esp-image/read.js';
import { peekManifest } from '../formats/manifest/manifest.js';
import { decryptNvs, nvsKeysInUse } from '../formats/nvs/crypt.js';
import { readNvs } from '../formats/nvs/read.js';
import { type NvsEntry, nvsPageBytes } from '../formats/nvs/types.js';
import { type OtaState, otadataBytes, otadataEntries, otaStateNames } from '../formats/otadata.js';
import {
  otaSlots,
  type Partition,
  type PartitionTable,
  partitionSubtypeName,
  partitionSubtypes,
  partitionTypeName,
  partitionTypes,
} from '../formats/partitions.js';
import { isSigned } from '../model/bundle/pack.js';
import { type BoardRequest, withBoard } from './board.js';
import type { Loader } from './loader/types.js';
import { readBoardTable } from './plan/plan.js';
import { choosePort } from './port/list.js';
import { readSecurity, securityStateSchema } from './security.js';
import { activeSlot } from './write/app-slots.js';
import { dataPartition } from './write/board-nvs.js';

const appSchema = z.object({
  label: z.string(),
  offset: z.number().int(),
  project: z.string().nullable().describe('Null if the partition contains no app, or an encrypted one.'),
  version: z.string().nullable(),
  idf: z.string().nullable().describe('Version of ESP-IDF.'),
  built: z.string().nullable(),
  elfSha256: z.string().nullable().describe("The build's id: SHA-256 of its ELF file."),
  secureVersion: z.number().int().nullable().describe('Anti-rollback version of the app.'),
  boots: z.boolean().describe('Whether the bootloader starts this app.'),
  state: z
    .enum(otaStateNames)
    .nullable()
    .describe('State in otadata. Null = otadata has no entry for this partition.'),
});

const modelSchema = z.object({
  label: z.string(),
  offset: z.number().int(),
  name: z.string().nullable().describe('Null if the slot contains no signed model, or an encrypted one.'),
  version: z.number().int().nullable(),
  selected: z.boolean().describe('Whether NVS selects this slot, which contains a model.'),
});

const nvsSchema = z.object({
  partition: z.string(),
  encrypted: z.boolean().describe('Whether the values were decrypted with the keys in nvs_keys.'),
  problem: z.string().nullable().describe('First damage found; null = none.'),
  pages: z.object({ used: z.number().int(), total: z.number().int() }).nullable(),
  namespaces: z.array(
    z.object({
      name: z.string(),
      entries: z.array(
        z.object({
          key: z.string(),
          type: z.string(),
          bytes: z.number().int(),
          value: z
            .string()
            .nullable()
            .describe('Null = a blob, or a value that may be secret: only known harmless keys are shown.'),
        }),
      ),
    }),
  ),
});

export const boardInfoSchema = z.object({
  port: z.string(),
  chip: z.string(),
  description: z.string(),
  revision: z.string().nullable().describe('Revision of the chip, such as v3.1.'),
  features: z.array(z.string()),
  crystalMHz: z.number(),
  mac: z.string(),
  flash: z.object({
    id: z.string().describe('JEDEC: manufacturer, type, size.'),
    bytes: z.number().int().nullable(),
  }),
  bootloader: z
    .object({
      offset: z.number().int(),
      mode: z.enum(flashModes).nullable(),
      size: z.enum(flashSizes).nullable().describe('Flash size in its header.'),
      frequency: z.enum(flashFrequencies).nullable(),
      idf: z.string().nullable().describe('Version of ESP-IDF; null if the bootloader does not state it.'),
      built: z.string().nullable(),
    })
    .nullable()
    .describe('Null if there is none, or an encrypted one.'),
  security: z.object({
    secureBoot: z.boolean(),
    flashEncryption: z.boolean(),
    secureDownload: z.boolean(),
  }),
  fuses: securityStateSchema.nullable().describe('Null if the chip reveals nothing about its fuses.'),
  stub: z.boolean(),
  baud: z.number().int().describe('Baud rate used with this adapter and chip.'),
  partitions: z
    .array(
      z.object({
        label: z.string(),
        type: z.string(),
        subtype: z.string(),
        offset: z.number().int(),
        size: z.number().int(),
        encrypted: z.boolean().describe('Whether the table marks it as encrypted.'),
        problem: z.string().nullable().describe('Reason why it cannot be read; null = it can be read.'),
      }),
    )
    .nullable()
    .describe('Null if the flash has no table, or cannot be read.'),
  apps: z.array(appSchema),
  models: z.array(modelSchema).describe('The model slots; signatures were not checked.'),
  nvs: z.array(nvsSchema),
});

export type BoardInfo = z.infer<typeof boardInfoSchema>;

/**
 * Reads information from a board's chip, fuses and flash. Nothing is written. The result does not contain values that may be secret.
 * @throws AIOT_CHIP_*, AIOT_SERIAL_*
 */
export async function boardInfo(request: BoardRequest): Promise<BoardInfo> {
  const port = await choosePort(request.port);
  return await withBoard({ ...request, port }, async (loader) => {
    await loader.raiseSpeed();
    const { chip, stub, baud } = loader;
    const fuses = await readSecurity(loader);
    const readable = !chip.security.secureDownload && chip.flash.bytes !== null;
    const stated = readable ? await readBoardTable(loader) : null;
    const flashBytes = chip.flash.bytes ?? 0;
    // An invalid entry must not hide the others.
    const inFlash = ({ offset, size }: Partition) => offset + size <= flashBytes;
    const table = stated && { ...stated, partitions: stated.partitions.filter(inFlash) };
    const nvs = table ? await readAllNvs(loader, table) : [];
    return {
      port,
      ...chip,
      revision: /\(revision (v[\d.]+)\)/.exec(chip.description)?.[1] ?? null,
      bootloader: readable ? await readBootloader(loader) : null,
      fuses,
      stub,
      baud,
      partitions: stated?.partitions.map((row) => shown(row, inFlash(row))) ?? null,
      apps: table ? await readApps(loader, table) : [],
      models: table ? await readModels(loader, table, nvs) : [],
      nvs,
    };
  });
}

const shown = ({ label, type, subtype, offset, size, encrypted }: Partition, inFlash: boolean) => ({
  label,
  type: partitionTypeName(type),
  subtype: partitionSubtypeName(type, subtype),
  offset,
  size,
  encrypted,
  problem: inFlash ? null : 'ends past the end of the flash',
});

/** The start of the image at an offset; null if there is none. */
const readStart = async (loader: Loader, offset: number) =>
  readImageStart(await loader.read(offset, imageStartBytes));

async function readBootloader(loader: Loader): Promise<BoardInfo['bootloader']> {
  const { bootloaderOffset: offset } = espChips[loader.chip.chip];
  const start = await readStart(loader, offset);
  if (start === null) return null;
  const { mode, size, frequency, bootloader } = start;
  return { offset, mode, size, frequency, idf: bootloader?.idf ?? null, built: bootloader?.built ?? null };
}

async function readApps(loader: Loader, table: PartitionTable): Promise<BoardInfo['apps']> {
  const { app, data } = partitionTypes;
  const slots = otaSlots(table);
  const partition = table.partitions.find(
    ({ type, subtype }) => type === data && subtype === partitionSubtypes[data]?.ota,
  );
  const otadata = partition ? await loader.read(partition.offset, otadataBytes) : null;
  const chosen = otadata === null ? null : activeSlot(otadata, slots.length);
  const factory = table.partitions.find(
    ({ type, subtype }) => type === app && subtype === partitionSubtypes[app]?.factory,
  );
  const started = (chosen === null ? null : slots[chosen]) ?? factory ?? slots[0];
  const apps: BoardInfo['apps'] = [];
  for (const row of table.partitions.filter(({ type }) => type === app)) {
    const about = (await readStart(loader, row.offset))?.app;
    apps.push({
      label: row.label,
      offset: row.offset,
      project: about?.project ?? null,
      version: about?.version ?? null,
      idf: about?.idf ?? null,
      built: about?.built ?? null,
      elfSha256: about?.elfSha256 ?? null,
      secureVersion: about?.secureVersion ?? null,
      boots: row === started,
      state: otadata === null ? null : slotState(otadata, slots.indexOf(row), slots.length),
    });
  }
  return apps;
}

/** State of the newest entry for this slot in otadata; null if there is none. */
function slotState(otadata: Uint8Array, slot: number, count: number): OtaState | null {
  const [newest] = otadataEntries(otadata)
    .filter((entry) => entry !== null && (entry.sequence - 1) % count === slot)
    .sort((a, b) => (b?.sequence ?? 0) - (a?.sequence ?? 0));
  return newest?.state ?? null;
}

/**
 * The model slots, numbered by their subtypes. NVS contains the number of the selected slot; without that number, the first slot is
 * selected.
 */
async function readModels(
  loader: Loader,
  table: PartitionTable,
  nvs: BoardInfo['nvs'],
): Promise<BoardInfo['models']> {
  const entries = nvs.flatMap(({ namespaces }) => namespaces).filter(({ name }) => name === 'aiot');
  const selected =
    entries.flatMap((each) => each.entries).find(({ key }) => key === 'model_slot')?.value ?? '0';
  const models: BoardInfo['models'] = [];
  for (const row of modelSlotsIn(table)) {
    const model = await readModel(loader, row);
    models.push({
      label: row.label,
      offset: row.offset,
      name: model?.name ?? null,
      version: model?.version ?? null,
      selected: model !== null && String(row.subtype) === selected,
    });
  }
  return models;
}

/** Type of aiot's own partitions. The two model slots have their numbers as subtypes; partitions of other subtypes contain no models. */
const ownType = 0x40;

/** The model slots in a table, in order. There are two, unless the table does not belong to aiot's firmware. */
export function modelSlotsIn({ partitions }: PartitionTable): Partition[] {
  return [0, 1].flatMap(
    (n) => partitions.find(({ type, subtype }) => type === ownType && subtype === n) ?? [],
  );
}

/** Bytes at the start of a signed bundle that contain its manifest. A manifest with several artifacts has about 3 KB. */
const manifestBytes = 0x4000;

/** Name and version of the signed bundle in a slot, whose signatures are not checked. Null if there is none, or an encrypted one. */
export async function readModel(
  loader: Loader,
  slot: Partition,
): Promise<{ name: string; version: number } | null> {
  const start = await loader.read(slot.offset, 0x1000);
  if (!isSigned(start)) return null;
  const bytes = firstContents(start) ?? firstContents(await loader.read(slot.offset, manifestBytes));
  try {
    const { name, version } = peekManifest({ payload: Buffer.from(bytes ?? []).toString('base64') });
    return { name, version };
  } catch (error) {
    if (error instanceof AiotError && error.code === 'AIOT_MANIFEST_MALFORMED') return null;
    throw error;
  }
}

/** Larger partitions are not read, because a board's information must arrive within seconds. */
const largestNvsBytes = 0x4_0000;

async function readAllNvs(loader: Loader, table: PartitionTable): Promise<BoardInfo['nvs']> {
  const { data } = partitionTypes;
  const rows = table.partitions.filter(
    ({ type, subtype }) => type === data && subtype === partitionSubtypes[data]?.nvs,
  );
  const keyRow = dataPartition(table, 'nvs_keys');
  const keys = keyRow && rows.length > 0 ? await loader.read(keyRow.offset, nvsPageBytes) : null;
  const all: BoardInfo['nvs'] = [];
  for (const row of rows) {
    const empty = { partition: row.label, encrypted: false, pages: null, namespaces: [] };
    if (row.size > largestNvsBytes) {
      all.push({ ...empty, problem: 'too large to read here; read it with aiot board read' });
      continue;
    }
    try {
      all.push({ partition: row.label, ...nvsSummary(await loader.read(row.offset, row.size), keys) });
    } catch (error) {
      if (!(error instanceof AiotError && error.code === 'AIOT_FILE_MALFORMED')) throw error;
      all.push({ ...empty, problem: error.message });
    }
  }
  return all;
}

function nvsSummary(stored: Uint8Array, keyPartition: Uint8Array | null) {
  const keys = nvsKeysInUse(stored, keyPartition);
  const { pages, namespaces, entries, problems } = readNvs(keys ? decryptNvs(stored, keys) : stored, {
    salvage: true,
  });
  const [problem] = problems;
  return {
    encrypted: keys !== null,
    problem: problem ? `offset ${hex(problem.offset)}: ${problem.reason}` : null,
    pages: { used: pages.filter(({ state }) => state !== 'empty').length, total: pages.length },
    namespaces: namespaces.map((name) => ({
      name,
      entries: entries.filter(({ namespace }) => namespace === name).map(entrySummary),
    })),
  };
}

/** Public values of this project's own namespaces, by `namespace.key`. */
const ownPublic: ReadonlySet<string> = new Set([
  ...['name', 'type', 'id', 'http', 'mqtts', 'model_slot'].map((key) => `aiot.${key}`),
  ...['version', 'keys', 'threshold'].map((key) => `aiot_trust.${key}`),
  ...['sequence', 'floor'].map((key) => `aiot_update.${key}`),
]);

/**
 * Keys whose values are shown in any namespace. Programs use too many different names for secrets to recognize them, so all other values
 * are hidden.
 */
const harmlessKeys: ReadonlySet<string> = new Set([
  ...[
    'ssid',
    'hostname',
    'channel',
    'country',
    'language',
    'timezone',
    'log_level',
    'version',
    'cal_version',
  ],
  ...['boots', 'boot_count', 'restarts', 'crashes', 'retries', 'sequence', 'offset', 'interval', 'rate'],
]);

/** Values that are secrets even under a harmless name: PEM, credentials in an address or its query, and long random-looking words. */
const secretTexts = [
  /-----BEGIN /,
  /:\/\/.*@/s,
  /(?:pass|pwd|token|key|secret|sig|code)\w*=/i,
  /^(?=.*\d)(?=.*[a-z])[\w+/=.-]{24,}$/i,
];

function entrySummary(entry: NvsEntry) {
  const { namespace, key, type } = entry;
  const text = typeof entry.value === 'object' ? null : String(entry.value);
  const bytes =
    typeof entry.value === 'object'
      ? entry.value.length
      : type === 'string'
        ? Buffer.byteLength(entry.value as string)
        : Number(/\d+/.exec(type)?.[0]) / 8;
  const secret =
    text === null ||
    !(harmlessKeys.has(key.toLowerCase()) || ownPublic.has(`${namespace}.${key}`)) ||
    (type === 'string' && secretTexts.some((one) => one.test(text)));
  return { key, type, bytes, value: secret ? null : text };
}
