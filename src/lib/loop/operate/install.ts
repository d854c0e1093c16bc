import { access } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import * as z from 'zod';
import { readContexts } from '../../core/contexts.js';
import { AiotError } from '../../core/errors.js';
import { requireFile } from '../../core/files.js';
import { configFolder, packageRoot } from '../../core/folders.js';
import { namePattern } from '../../core/names.js';
import { loadProject } from '../../core/project.js';
import {
  confined,
  missingGroups,
  ownFolders,
  packagesOf,
  unitFile,
  unitFolder,
  unitQuoted,
  unitSections,
  unitValue,
  unitWord,
  whoRuns,
  writeUnit,
} from '../../core/systemd.js';
import { shellWord } from '../../core/text.js';
import { formatDuration } from '../../core/time.js';
import { parseStreamUrl, secretIn } from '../../stream/url.js';
import { outputSettings } from '../output/settings.js';

/** Options of the service: for the loop, those of `loop run`. */
export interface InstallLoopOptions {
  project: string;
  name?: string | undefined;
  sensor?: string | undefined;
  model?: string | undefined;
  delegate?: 'cpu' | 'coral' | undefined;
  vote?: string | undefined;
  holdMs?: number | undefined;
  send?: 'change' | 'always' | undefined;
  out?: readonly string[] | undefined;
  listen?: string | undefined;
  context?: string | undefined;
  /** User of the service; `dynamic` = allocated by systemd. Default: the current user, or `dynamic` if that is root. */
  user?: string | undefined;
  memory: string;
  cpu?: string | undefined;
  /** Folder for the unit; default: systemd's own. */
  unitDir?: string | undefined;
  dryRun: boolean;
}

export const installedLoopSchema = z.object({
  service: z.string(),
  file: z.string(),
  user: z.string(),
  written: z.boolean(),
  unit: z.string(),
  /** File of NAME=VALUE lines for the service's secrets. */
  secrets: z.string(),
  /** Commands that start the service, in this order. */
  start: z.array(z.string()),
  /** Hints to read before starting the service. */
  cautions: z.array(z.string()),
});

export type InstalledLoop = z.output<typeof installedLoopSchema>;

const systemFolder = '/etc/systemd/system';

/**
 * Writes the unit of a service that runs this project's loop with this installation of aiot, starting at boot.
 * @throws AIOT_PROJECT_NOT_FOUND, AIOT_PROJECT_INVALID, AIOT_USAGE (a secret in an address, no such user), AIOT_STREAM_URL,
 * AIOT_FILE_NOT_WRITABLE
 */
export async function installLoop(options: InstallLoopOptions): Promise<InstalledLoop> {
  const project = await loadProject(options.project);
  const { loop } = project.config;
  const name = options.name ?? project.config.name;
  if (!namePattern.test(name)) throw new AiotError('AIOT_USAGE', `"${name}" is not a valid loop name`);
  if (!/^\d+[KMGT]?$/.test(options.memory)) throw notA('--memory', 'a size such as 300M', options.memory);
  if (options.cpu !== undefined && !/^[1-9]\d*%$/.test(options.cpu))
    throw notA('--cpu', 'a percentage such as 50%', options.cpu);
  const outputs = options.out ?? loop.out;
  for (const url of outputs) outputSettings(url, 'change');
  const secrets = `/etc/aiot/loop-${name}.env`;
  for (const url of [options.sensor, ...(options.out ?? [])])
    if (url !== undefined) refuseSecret(url, secrets);
  const { user, home } = await whoRuns(options.user);
  const folder = home === undefined ? configFolder() : configFolder({ HOME: home, ...ownFolders() });
  const config = {
    folder: resolve(folder),
    files: await present(folder, ['contexts.json', 'credentials.json']),
  };
  const model = options.model?.endsWith('.aiot') ? resolve(options.model) : options.model;
  if (model !== undefined && model !== options.model) await requireFile(model);
  const service = `aiot-loop-${name}`;
  const devices = devicesFor([options.sensor ?? loop.sensor ?? '', ...outputs], options.delegate);
  const missing = await missingGroups(devices.groups);
  // A unit with a nonexistent group does not start, so missing groups are omitted. A unit in another folder may be for another machine, so
  // it keeps all groups.
  const groups = devices.groups.filter((group) => options.unitDir !== undefined || !missing.includes(group));
  const unit = loopUnit({
    name,
    command: [
      process.execPath,
      join(packageRoot(), 'bin', 'run.js'),
      'loop',
      'run',
      ...wordsOf(options, project.dir, name, model),
    ],
    project: project.dir,
    user,
    devices: { ...devices, groups },
    reads: [
      dirname(process.execPath),
      packagesOf(packageRoot()),
      project.dir,
      ...(model?.startsWith('/') ? [model] : []),
      ...(await authorities(folder)),
    ],
    config,
    secrets,
    memory: options.memory,
    cpu: options.cpu,
  });
  const file = join(resolve(options.unitDir ?? systemFolder), `${service}.service`);
  if (!options.dryRun) await writeUnit(file, unit, options.unitDir === undefined);
  return {
    service: `${service}.service`,
    file,
    user: user ?? 'dynamic',
    written: !options.dryRun,
    unit,
    secrets,
    start: [
      ...(options.unitDir === undefined ? [] : [`sudo install -m 644 ${shellWord(file)} ${systemFolder}/`]),
      'sudo systemctl daemon-reload',
      `sudo systemctl enable --now ${service}`,
      `aiot loop status ${name}`,
    ],
    cautions: cautionsFor({ sensor: options.sensor ?? loop.sensor, outputs: outputs.length, user, missing }),
  };
}

function wordsOf(
  options: InstallLoopOptions,
  project: string,
  name: string,
  model: string | undefined,
): string[] {
  const { sensor, delegate, vote, holdMs, send, out = [], listen, context } = options;
  const hold = holdMs === undefined ? undefined : formatDuration(holdMs);
  const flags = { project, name, sensor, model, delegate, vote, hold, send, listen, context };
  const given = Object.entries(flags).flatMap(([flag, value]) =>
    value === undefined ? [] : [`--${flag}`, value],
  );
  return [...given, ...out.flatMap((url) => ['--out', url])];
}

function notA(flag: string, expected: string, got: string): AiotError {
  return new AiotError('AIOT_USAGE', `${flag}: expected ${expected}, got "${got}"`);
}

function refuseSecret(url: string, secrets: string): void {
  // A sensor's address need not be a valid stream URL.
  const found = /^[a-z][\w+.-]*:/i.test(url) ? secretIn(url) : undefined;
  if (!found) return;
  throw new AiotError(
    'AIOT_USAGE',
    `${found.endpoint}: expected an address without ${found.what}, because a service file is not secret`,
    {
      next: `Run \`aiot stream login ${found.endpoint}\` and omit the secret; or put AIOT_OUT=… (AIOT_SENSOR=…) in ${secrets} (mode 0600), which the service reads.`,
    },
  );
}

async function present(folder: string, names: readonly string[]): Promise<string[]> {
  const found = await Promise.all(
    names.map((name) =>
      access(join(folder, name)).then(
        () => [name],
        () => [],
      ),
    ),
  );
  return found.flat();
}

/** CA files of platforms, referenced by path in their contexts. */
async function authorities(folder: string): Promise<string[]> {
  const { contexts } = await readContexts(folder);
  return Object.values(contexts).flatMap(({ ca }) => (ca === undefined ? [] : [resolve(ca)]));
}

/** Hints to read before starting a service, one line each. */
function cautionsFor({
  sensor,
  outputs,
  user,
  missing,
}: {
  sensor: string | undefined;
  outputs: number;
  user: string | undefined;
  missing: readonly string[];
}): string[] {
  return [
    ...(sensor === undefined
      ? ['No sensor is set (--sensor, or loop.sensor in aiot.yaml): the service will not start.']
      : []),
    ...(outputs === 0
      ? ['No output is set (--out, or loop.out in aiot.yaml): predictions only go to the journal.']
      : []),
    ...missing.map(
      (group) =>
        `The group ${group}, which would give access to the device, does not exist. Run sudo groupadd --system ${group}, add a udev rule that assigns the device to it, and run this command again.`,
    ),
    ...(user === 'root' ? ['It runs as root; a separate user is safer: --user dynamic.'] : []),
  ];
}

export interface LoopUnitOptions {
  /** Name of the loop; the service is `aiot-loop-NAME`. */
  name: string;
  /** Program and arguments. */
  command: readonly string[];
  /** Absolute path of the project. */
  project: string;
  /** User of the service; undefined = one allocated by systemd while it runs. */
  user: string | undefined;
  devices: Devices;
  /** Folders and files that the service reads. The service cannot see any others in home folders. */
  reads: readonly string[];
  /** The user's config folder: read in place by a real user, copied by systemd for a dynamic one. */
  config: { folder: string; files: readonly string[] };
  /** File of NAME=VALUE lines, mode 0600: for secrets. */
  secrets: string;
  /** Memory limit, such as `300M`. */
  memory: string;
  /** CPU limit, such as `50%` of one core; undefined = no limit. */
  cpu: string | undefined;
  /** Additional variables, none of them secret. */
  environment?: Readonly<Record<string, string>>;
  /** Whether the program notifies systemd, as a loop does; default true. */
  tells?: boolean;
}

/** Maximum time without a keep-alive, s. The loop sends one every 10 s. */
const watchdogSeconds = 60;

/**
 * Text of the unit (systemd.service(5), systemd.exec(5), systemd.resource-control(5)), for systemd 247 and later. It omits
 * MemoryDenyWriteExecute, because V8 generates machine code, and network-online.target, because a loop starts without a network.
 */
export function loopUnit(options: LoopUnitOptions): string {
  const { name, user } = options;
  const service = `aiot-loop-${name}`;
  return unitSections({
    Unit: [
      `Description=aiot loop ${unitValue(name)}: sensor to prediction`,
      'After=network.target',
      `RequiresMountsFor=${unitQuoted(unitValue(options.project))}`,
      // An unattended service is restarted any number of times.
      'StartLimitIntervalSec=0',
    ],
    Service: [
      ...running(options, service),
      ...identity(options, service),
      '',
      `MemoryMax=${options.memory}`,
      ...(options.cpu === undefined ? [] : [`CPUQuota=${options.cpu}`]),
      'TasksMax=128',
      'LimitCORE=0',
      '',
      ...confinement(options),
      ...(user === undefined ? [] : ['RemoveIPC=yes']),
    ],
    Install: ['WantedBy=multi-user.target'],
  });
}

function running(options: LoopUnitOptions, service: string): string[] {
  const { command, project, secrets, environment = {}, tells = true } = options;
  return [
    ...(tells
      ? ['Type=notify', '# systemd-notify is a separate process.', 'NotifyAccess=all']
      : ['Type=exec']),
    `ExecStart=${command.map(unitWord).join(' ')}`,
    `WorkingDirectory=${unitFolder(project)}`,
    `EnvironmentFile=-${unitFile(secrets)}`,
    ...(tells
      ? [
          '# READY is sent with the first sample; a sensor may be connected later.',
          'TimeoutStartSec=10min',
          `WatchdogSec=${watchdogSeconds}`,
        ]
      : []),
    'Restart=always',
    'RestartSec=5',
    '# On SIGTERM, pending predictions are sent or stored on disk.',
    'TimeoutStopSec=30',
    'StandardOutput=journal',
    'StandardError=journal',
    `SyslogIdentifier=${service}`,
    '',
    `StateDirectory=${service}`,
    'StateDirectoryMode=0700',
    `CacheDirectory=${service}`,
    `RuntimeDirectory=${service}`,
    'RuntimeDirectoryMode=0755',
    `Environment=AIOT_DATA_DIR=%S/${service} AIOT_CACHE_DIR=%C/${service}`,
    ...Object.entries(environment).map(
      ([name, value]) => `Environment=${unitQuoted(unitValue(`${name}=${value}`))}`,
    ),
  ];
}

function identity({ user, config, devices }: LoopUnitOptions, service: string): string[] {
  const groups = devices.groups.length > 0 ? [`SupplementaryGroups=${devices.groups.join(' ')}`] : [];
  const place = (folder: string) => `Environment=${unitQuoted(`AIOT_CONFIG_DIR=${folder}`)}`;
  if (user !== undefined) return [`User=${user}`, ...groups, place(unitValue(config.folder))];
  return [
    'DynamicUser=yes',
    ...groups,
    ...config.files.map((file) => `LoadCredential=${file}:${unitValue(`${config.folder}/${file}`)}`),
    // systemd creates this folder, but only if there are credentials.
    place(config.files.length > 0 ? `/run/credentials/${service}.service` : `%S/${service}/config`),
  ];
}

function confinement({ user, devices, reads, config }: LoopUnitOptions): string[] {
  const { allow, kernelFiles } = devices;
  const seen = [...reads, ...(user === undefined ? [] : [config.folder])];
  return confined({ reads: seen, devices: allow, kernelFiles });
}

/** Devices and other parts of the machine to which a loop needs access, by their names in systemd and Debian. */
interface Devices {
  /** Values of `DeviceAllow=`: nodes, or classes of nodes, which include devices that are plugged in later. */
  allow: string[];
  groups: string[];
  /** Whether the service writes below /sys. */
  kernelFiles: boolean;
}

interface Kind {
  allow: (place: string) => string[];
  group: string;
  kernelFiles?: true;
}

/** The device node of a bus, from addresses such as `i2c://1/CHIP` and `i2c://%2Fdev%2Fi2c-3/CHIP`. */
const busNode = (place: string) => {
  const [bus = ''] = place.replace(/^\/\//, '').split(/[/?]/, 1);
  const path = decodeURIComponent(bus);
  return path.startsWith('/') ? path : `/dev/i2c-${path}`;
};

const kinds: Record<string, Kind> = {
  alsa: { allow: () => ['char-alsa'], group: 'audio' },
  camera: { allow: () => ['char-video4linux', 'char-media'], group: 'video' },
  gpio: { allow: (place) => [`/dev/${parseStreamUrl(`gpio:${place}`).host}`], group: 'gpio' },
  i2c: { allow: (place) => [busNode(place)], group: 'i2c' },
  iio: { allow: () => ['char-iio'], group: 'iio', kernelFiles: true },
  // Allowed by class instead of by name, because an adapter may get another number when it is plugged in again.
  serial: { allow: () => ['char-ttyUSB', 'char-ttyACM', 'char-ttyAMA', 'char-ttyS'], group: 'dialout' },
};

/** Devices required by the sensor, the outputs and the accelerator; none for network sources. */
export function devicesFor(urls: readonly string[], delegate?: string): Devices {
  const devices: Devices = { allow: [], groups: [], kernelFiles: false };
  const add = ({ allow, group, kernelFiles }: Kind, place: string) => {
    devices.allow.push(...allow(place));
    devices.groups.push(group);
    devices.kernelFiles ||= kernelFiles ?? false;
  };
  for (const url of urls) {
    const [, scheme = '', place = ''] = /^([a-z][\w+.-]*):(.*)$/is.exec(url) ?? [];
    const kind = Object.hasOwn(kinds, scheme.toLowerCase()) ? kinds[scheme.toLowerCase()] : undefined;
    // The simulated bus needs no device.
    if (kind && !place.startsWith('//sim/')) add(kind, place);
  }
  if (delegate === 'coral') {
    add({ allow: () => ['char-apex', 'char-usb_device'], group: 'plugdev' }, '');
  }
  return {
    allow: [...new Set(devices.allow)],
    groups: [...new Set(devices.groups)],
    kernelFiles: devices.kernelFiles,
  };
}
