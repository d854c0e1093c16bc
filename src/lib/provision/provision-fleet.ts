import { existsSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
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
import type { RegistryClient } from '../registry/client.js';
import { chipIdOf, type DeviceInfo, isChipId, macSchema } from '../registry/fields.js';
import { checkImages, imageNames } from './chip-image.js';
import { type ChipOptions, checkWifi, chipOfType, deviceType, type Wifi, wifiTold } from './chip-options.js';
import { identityFiles, identitySchema, isCutShort, removeStale } from './identity-folder.js';
import { type MakeOptions, makeDevice, provisionedDeviceSchema } from './provision.js';

const fleetDeviceSchema = provisionedDeviceSchema.extend({
  type: z.string(),
  mac: z.string().nullable(),
  /** The guide's decimal chip id. */
  chipId: z.string().nullable(),
  /** An earlier run made it: its files are those of its birth certificate. */
  skipped: z.boolean(),
});

export type FleetDevice = z.output<typeof fleetDeviceSchema>;

export const fleetResultSchema = z.object({
  /** In the order of the file. */
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
  /** The fleet file. */
  csv: string;
  /** Each device gets a folder of its name in it. */
  out: string;
  /** Devices that are made at the same time. */
  jobs: number;
  defaults: FleetDefaults;
  /** What chips' images have in common. */
  image: Omit<ChipOptions, 'chip' | 'wifi'>;
  onProgress?: (done: number, total: number, name: string) => void;
  signal?: AbortSignal;
}

/**
 * Makes the devices of a fleet file. All of it is checked first; what an earlier run has made is skipped, so a run that
 * was cut short is simply repeated.
 * @throws AIOT_CSV_…, AIOT_DEVICE_EXISTS, AIOT_IDENTITY_EXISTS, AIOT_NVS_UNFIT before anything is made; AIOT_INTERRUPTED
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
  // A run that was killed after all was there has left its folder with the key beside it.
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
        // Its key was in the killed run alone: nobody can be this device any more.
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
    throw new AiotError('AIOT_INTERRUPTED', `${done} of ${plural(rows.length, 'device')} are made`, {
      next: 'Repeat the command: it goes on where it stopped.',
    });
  }
  const devices = rows.flatMap(({ name }) => made.get(name) ?? []);
  failed.sort((a, b) => a.line - b.line);
  return { devices, failed, seconds: (now() - began) / 1000 };
}

/**
 * Devices that an earlier run made, and the names that it had registered when it was killed.
 * @throws AIOT_DEVICE_EXISTS, AIOT_IDENTITY_EXISTS for others of these names
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
    if (living) taken.push({ line, text: `${place}: ${name} is registered already` });
    else if (other) taken.push({ line, text: `${place}: ${other}` });
    else if (files[0] !== undefined) {
      inTheWay.push({ line, text: `${place}: ${files[0]} is there already` });
    }
  }
  refuseAll('AIOT_DEVICE_EXISTS', options.csv, taken);
  refuseAll('AIOT_IDENTITY_EXISTS', options.csv, inTheWay);
  return { there: found, cutShort };
}

/** Whose the board of a row is already; null = nobody's. */
function boardOf(row: FleetRow, registered: readonly DeviceInfo[]): string | null {
  const others = registered.filter(({ name, state }) => name !== row.name && state !== 'revoked');
  const same = others.find(({ mac }) => mac !== null && mac === row.mac);
  if (same) return `the board ${row.mac} is registered already, as ${same.name}`;
  const alias = aliasOf(row);
  const alike = others.find(({ chipId }) => chipId !== null && chipId === alias);
  return alike ? `the chip id ${alias} is that of ${alike.name} already` : null;
}

/** As the folder tells it. */
async function platformIn(folder: string): Promise<{ platform?: string }> {
  const parsed = identitySchema.safeParse(
    await unless('AIOT_FILE_NOT_FOUND', readJson(join(folder, 'device.json'))),
  );
  return parsed.success ? { platform: parsed.data.urls.http } : {};
}

/** Whether the files in its folder are those that its birth certificate tells of. */
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

/** One device of a fleet file. */
interface FleetRow {
  line: number;
  name: string;
  type: string;
  /** null = no chip: a folder with an identity. */
  chip: ChipName | null;
  mac: string | undefined;
  chipId: string | undefined;
  wifi: Wifi | null;
}

/** What a row that does not say it itself is given. */
interface FleetDefaults {
  type: string;
  chip: ChipName | undefined;
  wifi: Wifi | null;
}

const columns = ['name', 'type', 'chip', 'mac', 'chip-id', 'ssid', 'password'] as const;

type Column = (typeof columns)[number];

/**
 * Reads a fleet: a CSV file with a header out of name, type, chip, mac, chip-id, ssid, password; name alone is needed. All
 * of it is checked before anything is made. `file` names it in messages.
 * @throws AIOT_CSV_COLUMNS, AIOT_CSV_MALFORMED (with the line), AIOT_CSV_EMPTY
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
      `${file}:${head?.line ?? 1}: expected columns out of ${columns.join()}, got ${got}`,
      {
        next: 'The first line names the columns, such as: name,type,ssid,password',
      },
    );
  }
  if (records.length === 0) throw new AiotError('AIOT_CSV_EMPTY', `${file} names no device`);
  const problems: Problem[] = [];
  const rows = records.flatMap(({ line, cells }) => {
    const place = `${file}:${line}`;
    try {
      if (cells.length !== header.length) {
        const expected = `expected ${header.length} cells, got ${cells.length}`;
        throw new AiotError('AIOT_CSV_MALFORMED', `${place}: ${expected}`);
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
  refuseAll('AIOT_CSV_MALFORMED', file, problems);
  return rows;
}

/** Spaces belong to the name and the password of a network, and to nothing else. */
function cellValue(column: string, cell: string): string {
  const trimmed = cell.trim();
  return trimmed !== '' && (column === 'ssid' || column === 'password') ? cell : trimmed;
}

/** The chip id that a device of this row will have. */
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
    throw new AiotError('AIOT_CSV_MALFORMED', `${place}: expected ${what}, got "${value ?? ''}"`);
  };
  const name = cell('name') ?? refuse('a name', undefined);
  if (!namePattern.test(name)) refuse('a name of letters, digits, dot, dash or underscore', name);
  const type = typeOf(cell('type') ?? defaults.type, place, cell('chip') === undefined);
  if (!namePattern.test(type)) refuse('a type of letters, digits, dot, dash or underscore', type);
  const wanted = cell('chip') ?? (cell('type') === undefined ? defaults.chip : undefined);
  const chip = wanted === undefined ? chipOfType(type) : chipNames.find((known) => known === wanted);
  if (chip === undefined) return refuse(`a chip out of ${chipNames.join(', ')}`, wanted);
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
    throw new AiotError('AIOT_CSV_MALFORMED', `${place}: ${reason}`, { cause: error });
  }
}

function wifiOf(cell: (name: Column) => string | undefined, place: string): Wifi | null {
  const [ssid, password] = [cell('ssid'), cell('password')];
  if (ssid === undefined && password === undefined) return null;
  if (ssid === undefined) throw new AiotError('AIOT_CSV_MALFORMED', `${place}: a password without an ssid`);
  try {
    return checkWifi(ssid, password ?? '');
  } catch (error) {
    const reason = error instanceof AiotError ? error.message : String(error);
    throw new AiotError('AIOT_CSV_MALFORMED', `${place}: ${reason}`, { cause: error });
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
    const text = `${file}:${row.line}: the ${what} ${value} stands in line ${before} already`;
    return before === undefined ? [] : [{ line: row.line, text }];
  });
}

/** What is wrong with one line of a fleet file. */
interface Problem {
  line: number;
  /** With file and line in front. */
  text: string;
}

/** More of them are counted. */
const shown = 20;

/** All that is wrong, in the order of the file, in one error. Nothing wrong: returns. @throws AiotError of this code */
function refuseAll(code: ErrorCode, file: string, problems: readonly Problem[]): void {
  const [first, ...more] = problems.toSorted((a, b) => a.line - b.line);
  if (!first) return;
  if (more.length === 0) throw new AiotError(code, first.text);
  const texts = [first, ...more].slice(0, shown).map(({ text }) => `\n  ${text}`);
  const rest = problems.length > shown ? `\n  and ${problems.length - shown} more` : '';
  const lines = plural(new Set(problems.map(({ line }) => line)).size, 'line');
  throw new AiotError(code, `${lines} of ${file} cannot be taken:${texts.join('')}${rest}`);
}
