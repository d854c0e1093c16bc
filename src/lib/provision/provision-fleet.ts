import { existsSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import type { RegistryClient } from '../api/client.js';
import { chipIdOf, type DeviceInfo, isChipId, macSchema } from '../api/fields.js';
import type { ErrorCode } from '../core/catalogue.js';
import { sha256Hex } from '../core/crypto.js';
import { AiotError, unless } from '../core/errors.js';
import { plural } from '../core/figures.js';
import { readBytes, readJson, readText } from '../core/files.js';
import { namePattern } from '../core/names.js';
import { inParallel } from '../core/tasks.js';
import { csvRecords } from '../formats/csv/records.js';
import { type ChipName, chipNames } from '../formats/esp-image/chips.js';
import { verifyBirth } from '../formats/manifest/birth.js';
import type { TrustRoot } from '../formats/manifest/envelope.js';
import { checkImages, imageNames } from './chip-image.js';
import { type ChipOptions, checkWifi, chipOfType, deviceType, type Wifi, wifiTold } from './chip-options.js';
import { identityFiles, identitySchema, isCutShort, removeStale } from './identity-folder.js';
import { type MakeOptions, makeDevice, provisionedDeviceSchema } from './provision.js';

const fleetDeviceSchema = provisionedDeviceSchema.extend({
  type: z.string(),
  mac: z.string().nullable(),
  /** The guide's decimal chip id. */
  chipId: z.string().nullable(),
  /** Whether an earlier run made the device: its files match its birth certificate. */
  skipped: z.boolean(),
});

export type FleetDevice = z.output<typeof fleetDeviceSchema>;

export const fleetResultSchema = z.object({
  /** Devices in the order of the fleet file. */
  devices: z.array(fleetDeviceSchema),
  failed: z.array(
    z.object({ name: z.string(), line: z.int(), error: z.object({ code: z.string(), message: z.string() }) }),
  ),
  seconds: z.number(),
});

export type FleetResult = z.output<typeof fleetResultSchema>;

export interface FleetOptions extends Pick<MakeOptions, 'privatePem' | 'now'> {
  client: MakeOptions['client'] & {
    devices: Pick<RegistryClient['devices'], 'list'> & {
      birth: Pick<RegistryClient['devices']['birth'], 'get'>;
    };
  };
  /** Path of the fleet file. */
  csv: string;
  /** Folder in which each device gets a folder with its name. */
  out: string;
  /** Number of devices that are provisioned concurrently. */
  jobs: number;
  defaults: FleetDefaults;
  /** Settings shared by all chip images. */
  image: Omit<ChipOptions, 'chip' | 'wifi'>;
  onProgress?: (done: number, total: number, name: string) => void;
  signal?: AbortSignal;
}

/**
 * Provisions the devices of a fleet file. The whole file is checked first. Devices made by an earlier run are skipped, so an interrupted
 * run can simply be repeated.
 * @throws AIOT_CSV_…, AIOT_ALREADY_EXISTS, AIOT_NVS_UNFIT before anything is made; AIOT_INTERRUPTED
 */
export async function provisionFleet(options: FleetOptions): Promise<FleetResult> {
  const { client, csv, out, jobs, defaults, image, signal, onProgress, now } = options;
  const began = now();
  const rows = readFleet(await readText(csv), csv, defaults);
  const { there, cutShort } = await alreadyThere(options, rows);
  const todo = rows.filter(({ name }) => !there.has(name));
  await checkImages(
    todo.flatMap((row) =>
      row.chip ? [{ ...row, options: { ...image, chip: row.chip, wifi: row.wifi } }] : [],
    ),
  );
  // If a run was killed after the device was complete, its staging folder still contains the key.
  for (const name of there.keys()) await removeStale(join(out, name));
  const made = new Map<string, FleetDevice>(there);
  const failed: FleetResult['failed'] = [];
  let done = there.size;
  await inParallel(
    todo,
    jobs,
    async (row) => {
      const { name, line, type, chip, mac, chipId, wifi } = row;
      try {
        // Only the killed run had the device's key, so the registered device cannot be used and is revoked.
        if (cutShort.has(name)) await client.devices.act(name, 'revoke');
        const { enrolled, ...device } = await makeDevice({
          client,
          name,
          how: { kind: 'new', type, mac, chipId },
          chip: chip === null ? null : { ...image, chip, wifi },
          out: join(out, name),
          privatePem: options.privatePem,
          now,
        });
        const { mac: board, chipId: alias } = enrolled.reply.device;
        made.set(name, { ...device, type, mac: board, chipId: alias, skipped: false });
      } catch (error) {
        if (!(error instanceof AiotError)) throw error;
        failed.push({ name, line, error: { code: error.code, message: error.message } });
      }
      done++;
      onProgress?.(done, rows.length, name);
    },
    signal,
  );
  if (signal?.aborted && done < rows.length) {
    throw new AiotError(
      'AIOT_INTERRUPTED',
      `${done} of ${plural(rows.length, 'device')} have been provisioned`,
      {
        next: 'Repeat the command to continue.',
      },
    );
  }
  const devices = rows.flatMap(({ name }) => made.get(name) ?? []);
  failed.sort((a, b) => a.line - b.line);
  return { devices, failed, seconds: (now() - began) / 1000 };
}

/**
 * The devices made by an earlier run, and the names that a run had registered when it was killed.
 * @throws AIOT_ALREADY_EXISTS for names used by other devices, AIOT_TRUST_MISSING
 */
async function alreadyThere(
  options: FleetOptions,
  rows: readonly FleetRow[],
): Promise<{ there: Map<string, FleetDevice>; cutShort: Set<string> }> {
  const { client, out } = options;
  const [registered, trust] = [await client.devices.list(), await client.trust.get()];
  if (!trust) throw new AiotError('AIOT_TRUST_MISSING', 'the platform has no trust root yet');
  const byName = new Map(registered.map((device) => [device.name, device]));
  const found = new Map<string, FleetDevice>();
  const cutShort = new Set<string>();
  const taken: Problem[] = [];
  const inTheWay: Problem[] = [];
  for (const row of rows) {
    const { name, line, chip } = row;
    const place = `${options.csv}:${line}`;
    const device = byName.get(name);
    const names = chip ? Object.values(imageNames) : [...identityFiles];
    const files = names.map((file) => join(out, name, file)).filter(existsSync);
    const living = device !== undefined && device.state !== 'revoked';
    const same = living && files.length > 0 && (await isMade(client, { device, files, trust }));
    if (same && device.fingerprint !== null && device.expires !== null) {
      const { id, type, mac, chipId, fingerprint, expires } = device;
      found.set(name, {
        name,
        id,
        certificate: { fingerprint, expires },
        files,
        birth: true,
        type,
        mac,
        chipId,
        skipped: true,
        ...(chip && { wifi: wifiTold({ wifi: row.wifi }) }),
        ...(await platformIn(join(out, name))),
      });
      continue;
    }
    const unused = living && device.lastSeen === null && files.length === 0;
    if (unused && (await isCutShort(join(out, name)))) {
      cutShort.add(name);
      continue;
    }
    const other = boardOf(row, registered);
    if (living) taken.push({ line, text: `${place}: ${name} is already registered` });
    else if (other) taken.push({ line, text: `${place}: ${other}` });
    else if (files[0] !== undefined) {
      inTheWay.push({ line, text: `${place}: ${files[0]} already exists` });
    }
  }
  refuseAll('AIOT_ALREADY_EXISTS', 'device', options.csv, taken);
  refuseAll('AIOT_ALREADY_EXISTS', 'identity', options.csv, inTheWay);
  return { there: found, cutShort };
}

/** The problem if another device already uses the row's board or chip id; null if no device does. */
function boardOf(row: FleetRow, registered: readonly DeviceInfo[]): string | null {
  const others = registered.filter(({ name, state }) => name !== row.name && state !== 'revoked');
  const same = others.find(({ mac }) => mac !== null && mac === row.mac);
  if (same) return `the board ${row.mac} is already registered as ${same.name}`;
  const alias = aliasOf(row);
  const alike = others.find(({ chipId }) => chipId !== null && chipId === alias);
  return alike ? `the chip id ${alias} already belongs to ${alike.name}` : null;
}

/** URL of the platform in the folder's device.json, if that file exists. */
async function platformIn(folder: string): Promise<{ platform?: string }> {
  const parsed = identitySchema.safeParse(
    await unless('AIOT_FILE_NOT_FOUND', readJson(join(folder, 'device.json'))),
  );
  return parsed.success ? { platform: parsed.data.urls.http } : {};
}

/** Whether the files in the device's folder match its birth certificate. */
async function isMade(
  client: FleetOptions['client'],
  { device, files, trust }: { device: DeviceInfo; files: string[]; trust: TrustRoot },
): Promise<boolean> {
  const stored = await unless('AIOT_BIRTH_MISSING', client.devices.birth.get(device.name));
  if (!stored) return false;
  const { birth } = verifyBirth(stored.envelope, trust);
  if (birth.certificate.fingerprint !== device.fingerprint) return false;
  const sums = new Set<string>();
  for (const file of files) sums.add(sha256Hex(await readBytes(file)));
  return birth.images.every(({ sha256 }) => sums.has(sha256));
}

/** One device in a fleet file. */
interface FleetRow {
  line: number;
  name: string;
  type: string;
  /** null = no chip: the device gets an identity folder. */
  chip: ChipName | null;
  mac: string | undefined;
  chipId: string | undefined;
  wifi: Wifi | null;
}

/** Defaults for a row's missing values. */
interface FleetDefaults {
  type: string;
  chip: ChipName | undefined;
  wifi: Wifi | null;
}

const columns = ['name', 'type', 'chip', 'mac', 'chip-id', 'ssid', 'password'] as const;

type Column = (typeof columns)[number];

/**
 * Reads a fleet: a CSV file with the columns name, type, chip, mac, chip-id, ssid and password, of which only name is required.
 * The whole file is checked before anything is made. `file` is its name in messages.
 * @throws AIOT_CSV_COLUMNS, AIOT_FILE_MALFORMED (with the line), AIOT_CSV_EMPTY
 */
export function readFleet(text: string, file: string, defaults: FleetDefaults): FleetRow[] {
  const [head, ...records] = csvRecords(text, file);
  const header = (head?.cells ?? []).map((cell) => cell.trim());
  const strange = header.find((name) => !columns.includes(name as Column));
  const double = header.find((name, i) => header.indexOf(name) !== i);
  if (strange !== undefined || double !== undefined || !header.includes('name')) {
    const got = strange ?? double ?? 'no name';
    throw new AiotError(
      'AIOT_CSV_COLUMNS',
      `${file}:${head?.line ?? 1}: expected columns from ${columns.join()}, got ${got}`,
      {
        next: 'The first line must name the columns, such as name,type,ssid,password.',
      },
    );
  }
  if (records.length === 0) throw new AiotError('AIOT_CSV_EMPTY', `${file} lists no devices`);
  const problems: Problem[] = [];
  const rows = records.flatMap(({ line, cells }) => {
    const place = `${file}:${line}`;
    try {
      if (cells.length !== header.length) {
        const expected = `expected ${header.length} cells, got ${cells.length}`;
        throw new AiotError('AIOT_FILE_MALFORMED', `${place}: ${expected}`, { subject: 'csv' });
      }
      const values = new Map(header.map((name, i) => [name, cellValue(name, cells[i] ?? '')]));
      return rowOf((column) => values.get(column) || undefined, { line, place, defaults });
    } catch (error) {
      if (!(error instanceof AiotError)) throw error;
      problems.push({ line, text: error.message });
      return [];
    }
  });
  problems.push(
    ...twice(rows, file, 'name', ({ name }) => name.toLowerCase()),
    ...twice(rows, file, 'MAC', ({ mac }) => mac),
    ...twice(rows, file, 'chip id', aliasOf),
  );
  refuseAll('AIOT_FILE_MALFORMED', 'csv', file, problems);
  return rows;
}

/** Leading and trailing spaces are significant only in a network's name and password. */
function cellValue(column: string, cell: string): string {
  const trimmed = cell.trim();
  return trimmed !== '' && (column === 'ssid' || column === 'password') ? cell : trimmed;
}

/** The chip id of this row's device. */
function aliasOf({ mac, chipId }: Pick<FleetRow, 'mac' | 'chipId'>): string | undefined {
  return chipId ?? (mac === undefined ? undefined : chipIdOf(mac));
}

interface Where {
  line: number;
  place: string;
  defaults: FleetDefaults;
}

function rowOf(cell: (name: Column) => string | undefined, { line, place, defaults }: Where): FleetRow {
  const refuse = (what: string, value: string | undefined): never => {
    throw new AiotError('AIOT_FILE_MALFORMED', `${place}: expected ${what}, got "${value ?? ''}"`, {
      subject: 'csv',
    });
  };
  const name = cell('name') ?? refuse('a name', undefined);
  if (!namePattern.test(name)) refuse('a name of letters, digits, dot, dash or underscore', name);
  const type = typeOf(cell('type') ?? defaults.type, place, cell('chip') === undefined);
  if (!namePattern.test(type)) refuse('a type of letters, digits, dot, dash or underscore', type);
  const wanted = cell('chip') ?? (cell('type') === undefined ? defaults.chip : undefined);
  const chip = wanted === undefined ? chipOfType(type) : chipNames.find((known) => known === wanted);
  if (chip === undefined) return refuse(`one of the chips ${chipNames.join(', ')}`, wanted);
  const mac = cell('mac')?.toLowerCase();
  if (mac !== undefined && !macSchema.safeParse(mac).success)
    refuse('a MAC such as 24:0a:c4:00:00:01', cell('mac'));
  const chipId = cell('chip-id');
  if (chipId !== undefined && !isChipId(chipId)) refuse('a chip id of 0 to 16777215', chipId);
  return { line, name, type, chip, mac, chipId, wifi: wifiOf(cell, place) ?? defaults.wifi };
}

function typeOf(text: string, place: string, strict: boolean): string {
  try {
    return deviceType(text, strict);
  } catch (error) {
    const reason = error instanceof AiotError ? error.message : String(error);
    throw new AiotError('AIOT_FILE_MALFORMED', `${place}: ${reason}`, { subject: 'csv', cause: error });
  }
}

function wifiOf(cell: (name: Column) => string | undefined, place: string): Wifi | null {
  const [ssid, password] = [cell('ssid'), cell('password')];
  if (ssid === undefined && password === undefined) return null;
  if (ssid === undefined)
    throw new AiotError('AIOT_FILE_MALFORMED', `${place}: a password needs an ssid`, { subject: 'csv' });
  try {
    return checkWifi(ssid, password ?? '');
  } catch (error) {
    const reason = error instanceof AiotError ? error.message : String(error);
    throw new AiotError('AIOT_FILE_MALFORMED', `${place}: ${reason}`, { subject: 'csv', cause: error });
  }
}

function twice(
  rows: readonly FleetRow[],
  file: string,
  what: string,
  key: (row: FleetRow) => string | undefined,
): Problem[] {
  const seen = new Map<string, number>();
  return rows.flatMap((row) => {
    const value = key(row);
    if (value === undefined) return [];
    const before = seen.get(value);
    if (before === undefined) seen.set(value, row.line);
    const text = `${file}:${row.line}: the ${what} ${value} is already used in line ${before}`;
    return before === undefined ? [] : [{ line: row.line, text }];
  });
}

/** A problem on one line of a fleet file. */
interface Problem {
  line: number;
  /** Prefixed with file and line. */
  text: string;
}

/** Maximum number of problems that are listed; the others are only counted. */
const shown = 20;

/** Throws all problems, in file order, as one error; returns if there are none. @throws AiotError with this code */
function refuseAll(code: ErrorCode, subject: string, file: string, problems: readonly Problem[]): void {
  const [first, ...more] = problems.toSorted((a, b) => a.line - b.line);
  if (!first) return;
  if (more.length === 0) throw new AiotError(code, first.text, { subject });
  const texts = [first, ...more].slice(0, shown).map(({ text }) => `\n  ${text}`);
  const rest = problems.length > shown ? `\n  and ${problems.length - shown} more` : '';
  const lines = plural(new Set(problems.map(({ line }) => line)).size, 'line');
  throw new AiotError(code, `${lines} of ${file} are invalid:${texts.join('')}${rest}`, { subject });
}
