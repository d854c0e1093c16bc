import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import {
  AiotError,
  inParallel,
  plural,
  readBytes,
  readJson,
  readText,
  sha256Hex,
  unless,
} from '../../core/index.js';
import { type TrustRoot, verifyBirth } from '../../formats/index.js';
import type { DeviceInfo, RegistryClient } from '../../registry/index.js';
import { checkImages, imageNames } from '../chip/image.js';
import type { ChipOptions } from '../chip/options.js';
import { wifiTold } from '../chip/wifi-told.js';
import { identityFiles, identitySchema } from '../files/identity.js';
import { isCutShort, removeStale } from '../files/stale.js';
import { type MakeOptions, makeDevice } from '../provision.js';
import { provisionedDeviceSchema } from '../result.js';
import { type Problem, refuseAll } from './problems.js';
import { aliasOf, type FleetDefaults, type FleetRow, readFleet } from './read-csv.js';

export const fleetDeviceSchema = provisionedDeviceSchema.extend({
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
