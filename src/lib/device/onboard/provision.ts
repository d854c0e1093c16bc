import { join } from 'node:path';
import type { RegistryClient } from '../../api/client.js';
import type { DeviceInfo } from '../../api/fields.js';
import { AiotError } from '../../core/errors.js';
import { configFolder } from '../../core/folders.js';
import { takeLock } from '../../core/lock.js';
import { systemClock } from '../../core/time.js';
import type { ChipInfo, LoaderOptions } from '../../flash/loader/types.js';
import { type ChipName, chipNames } from '../../formats/esp-image/chips.js';
import {
  type ChipOptions,
  chipOfType,
  deviceType,
  type ImageRequest,
  imageRequest,
  similarType,
} from '../../provision/chip-options.js';
import { labelOf, requireLabelFile, writeLabels } from '../../provision/labels.js';
import { makeDevice, type ProvisionedDevice } from '../../provision/provision.js';
import { type FleetResult, provisionFleet } from '../../provision/provision-fleet.js';
import { type Onboarded, onboardDevice } from './onboard.js';

export interface ProvisionRequest {
  client: RegistryClient;
  /** Name of the platform's context. */
  context: string;
  name: string | undefined;
  /** Device type; absent = the board's chip or, without a board, `virtual`. */
  type: string | undefined;
  chip: ChipName | undefined;
  out: string | undefined;
  csv: string | undefined;
  jobs: number;
  port: string | undefined;
  loader: LoaderOptions;
  mac: string | undefined;
  chipId: string | undefined;
  image: ImageRequest;
  /** Output file for labels, .svg or .pdf. */
  labels: string | undefined;
  /** The operator's signing key; null = this machine does not have it. */
  privatePem: string | null;
  onStage?: (stage: { text: string; done?: number; total?: number }) => void;
  signal: AbortSignal;
}

export type Provisioned = ProvisionedDevice | Onboarded | FleetResult;

/**
 * Provisions one device into a folder or onto a board, or a fleet into folders. @throws AIOT_USAGE, and the errors of these operations
 */
export async function provision(request: ProvisionRequest): Promise<Provisioned> {
  const { type, chip } = request;
  return await provisionTyped({
    ...request,
    type: type === undefined ? undefined : deviceType(type, chip === undefined),
  });
}

async function provisionTyped(request: ProvisionRequest): Promise<Provisioned> {
  check(request);
  const { labels, client } = request;
  await requireLabelFile(labels);
  const made = await make(request);
  if (labels === undefined) return made;
  const devices = 'devices' in made ? made.devices : [made];
  const found: DeviceInfo[] = [];
  for (const { name } of devices) found.push(await client.devices.get(name));
  if (found.length > 0) await writeLabels(labels, found.map(labelOf));
  return made;
}

async function make(request: ProvisionRequest): Promise<Provisioned> {
  const { client, name = '', csv, port, out, privatePem, signal } = request;
  const { type = 'virtual', chip, mac, chipId, jobs, onStage } = request;
  const image = await imageRequest(request.image);
  const now = () => systemClock.now();
  if (csv !== undefined) {
    const { wifi, ...common } = image;
    return await alone(request.context, () =>
      provisionFleet({
        ...{ client, csv, out: out ?? '.', jobs, privatePem, now, signal },
        image: common,
        defaults: { type, chip, wifi },
        ...(onStage && { onProgress: (done, total, text) => onStage({ text, done, total }) }),
      }),
    );
  }
  if (port !== undefined) {
    return await onboardDevice({
      ...{ client, name, port, image, privatePem, now, loader: request.loader, out: out ?? null },
      how: (board) => ({ kind: 'new', type: typeOn(board, request.type), mac: board.mac, chipId }),
      ...(onStage && { onStage: (text) => onStage({ text }) }),
    });
  }
  const target = chip ?? chipOfType(type);
  const options: ChipOptions | null = target === null ? null : { ...image, chip: target };
  const how = { kind: 'new', type, mac, chipId } as const;
  const made = await makeDevice({ client, name, how, chip: options, out: out ?? null, privatePem, now });
  const { enrolled: _, ...device } = made;
  return device;
}

/** Maximum number of devices whose types are compared with a new one, because listing them takes one request per thousand. */
const mostCompared = 5000;

/**
 * Returns a warning if a new device type is probably misspelled, otherwise undefined. The known types are those of devices and firmware
 * releases. If the platform does not list them, nothing is compared.
 */
export async function typeCaution(
  client: Pick<RegistryClient, 'devices' | 'firmware' | 'status'>,
  type: string,
): Promise<string | undefined> {
  const usual = ['virtual', ...chipNames];
  if (usual.includes(type.toLowerCase())) return undefined;
  const used = await typesAt(client).catch(() => null);
  const near = used === null ? undefined : similarType(type, [...usual, ...used]);
  return near === undefined ? undefined : `The type ${type} is new. Did you mean ${near}?`;
}

async function typesAt({
  devices,
  firmware,
  status,
}: Pick<RegistryClient, 'devices' | 'firmware' | 'status'>): Promise<string[] | null> {
  if ((await status()).counts.devices > mostCompared) return null;
  const [known, releases] = await Promise.all([devices.list(), firmware.list()]);
  return [...known.map(({ type }) => type), ...releases.flatMap(({ latest }) => latest.deviceTypes)];
}

/**
 * Allows only one fleet run at a time. Otherwise, two runs with the same file but different folders would divide the file's devices between
 * them.
 * @throws AIOT_PROVISION_RUNNING
 */
async function alone<T>(context: string, task: () => Promise<T>): Promise<T> {
  const release = await takeLock(join(configFolder(), `provision-${encodeURIComponent(context)}.lock`));
  if (!release) {
    throw new AiotError(
      'AIOT_PROVISION_RUNNING',
      `another process is already provisioning devices for ${context}`,
      {
        retryable: true,
      },
    );
  }
  try {
    return await task();
  } finally {
    release();
  }
}

/** The device type for a board. If the type is a chip's name, it must match the board's chip. @throws AIOT_CHIP_MISMATCH */
function typeOn({ chip, mac }: ChipInfo, type: string | undefined): string {
  if (type === undefined || (chipOfType(type) ?? chip) === chip) return type ?? chip;
  throw new AiotError('AIOT_CHIP_MISMATCH', `expected a board of type ${type}, got an ${chip} (${mac})`, {
    next: `Omit --type to accept the connected board (--type ${chip}), or choose another port: run \`aiot board ports\`.`,
  });
}

/** Rejects contradictory options before any file is read. */
function check({ name, csv, port, out, mac, chipId, type, chip, image }: ProvisionRequest): void {
  const refuse = (message: string, next: string): never => {
    throw new AiotError('AIOT_USAGE', message, { next });
  };
  if (csv !== undefined) {
    const other = Object.entries({ NAME: name, '--port': port, '--mac': mac, '--chip-id': chipId });
    const given = other.find(([, value]) => value !== undefined)?.[0];
    if (given) refuse(`expected ${given} or --csv, got both`, 'The CSV file has a column for this.');
    if (image.address !== undefined)
      refuse(
        '--wifi-address applies to one device, so it cannot be combined with --csv',
        "Reserve the devices' addresses in your DHCP server.",
      );
    if (image.nvsKey !== undefined)
      refuse(
        '--nvs-key is the key of one board, so it cannot be combined with --csv',
        'Provision each board with a key of its own: `aiot device provision NAME --nvs-key FILE`.',
      );
    if (out === undefined)
      refuse('expected an output folder for the devices in --csv', 'Specify one: --out DIR');
    return;
  }
  if (name === undefined)
    refuse('expected the name of a device, or --csv FILE', 'aiot device provision NAME --out DIR');
  if (port === undefined && out === undefined)
    refuse(
      'expected a folder for the identity (--out DIR), or the port of a board (--port PORT)',
      'Specify one: --out DIR',
    );
  const named = chipOfType(type ?? '');
  if (named !== null && chip !== undefined && named !== chip)
    refuse(`--type ${named} and --chip ${chip} name different chips`, 'Omit one of them.');
  if (port !== undefined && mac !== undefined) refuse('the board reports its own MAC', 'Omit --mac.');
  const isChip = port !== undefined || chip !== undefined || chipOfType(type ?? 'virtual') !== null;
  if (
    !isChip &&
    (image.encrypt ||
      image.nvsKey !== undefined ||
      image.ssid !== undefined ||
      image.partitions !== undefined)
  ) {
    refuse(
      `a device of type ${type ?? 'virtual'} is not a chip, so it has no NVS or Wi-Fi settings`,
      'Specify the chip: --type esp32 or --chip esp32',
    );
  }
}
