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

/** What is asked of the service: of the loop, what `loop run` is asked. */
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
  /** Its user; `dynamic` = one that systemd makes up. Default: who asks, or `dynamic` where that is root. */
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
  /** Where NAME=VALUE lines with secrets go. */
  secrets: z.string(),
  /** What starts it, in this order. */
  start: z.array(z.string()),
  /** What to know before. */
  cautions: z.array(z.string()),
});

export type InstalledLoop = z.output<typeof installedLoopSchema>;

const systemFolder = '/etc/systemd/system';

/**
 * Writes the unit of a service that runs this project's loop with this installation of aiot, from the start of the machine.
 * @throws AIOT_PROJECT_NOT_FOUND, AIOT_PROJECT_INVALID, AIOT_USAGE (a secret in an address, no such user), AIOT_STREAM_URL,
 *   AIOT_FILE_NOT_WRITABLE
 */
export async function installLoop(options: InstallLoopOptions): Promise<InstalledLoop> {
  const project = await loadProject(options.project);
  const { loop } = project.config;
  const name = options.name ?? project.config.name;
  if (!namePattern.test(name)) throw new AiotError('AIOT_USAGE', `a loop cannot be called "${name}"`);
  if (!/^\d+[KMGT]?$/.test(options.memory)) throw notA('--memory', 'a size such as 300M', options.memory);
  if (options.cpu !== undefined && !/^[1-9]\d*%$/.test(options.cpu))
    throw notA('--cpu', 'a share such as 50%', options.cpu);
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
  // A unit with a group that there is not does not start. One for another machine is left as it is.
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
  // A sensor's address need not be a stream's.
  const found = /^[a-z][\w+.-]*:/i.test(url) ? secretIn(url) : undefined;
  if (!found) return;
  throw new AiotError(
    'AIOT_USAGE',
    `${found.endpoint}: expected an address without ${found.what}, for a service's file is no secret`,
    {
      next: `aiot stream login ${found.endpoint}, then the same without it; or write AIOT_OUT=… (AIOT_SENSOR=…) into ${secrets}, mode 0600, which the service reads.`,
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

/** CAs of platforms, which their contexts name by path. */
async function authorities(folder: string): Promise<string[]> {
  const { contexts } = await readContexts(folder);
  return Object.values(contexts).flatMap(({ ca }) => (ca === undefined ? [] : [resolve(ca)]));
}

/** What to know before a service is started: a line each. */
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
      ? ['No sensor is named, by --sensor or loop.sensor of aiot.yaml: it will not start.']
      : []),
    ...(outputs === 0
      ? ['No output is named, by --out or loop.out of aiot.yaml: answers go to the journal alone.']
      : []),
    ...missing.map(
      (group) =>
        `There is no group ${group} on this machine, which would let it use its device: sudo groupadd --system ${group}, a rule of udev that gives the device to it, and this once more.`,
    ),
    ...(user === 'root' ? ['It runs as root; a user of its own is safer: --user dynamic.'] : []),
  ];
}

export interface LoopUnitOptions {
  /** Of the loop; the service is `aiot-loop-NAME`. */
  name: string;
  /** Program and arguments. */
  command: readonly string[];
  /** Absolute. */
  project: string;
  /** Undefined: one that systemd makes up for as long as it runs. */
  user: string | undefined;
  devices: Devices;
  /** Folders and files that it reads; those below home are shown to it alone of all that is there. */
  reads: readonly string[];
  /** The user's config folder: read in place by a user, copied by systemd for a made-up one. */
  config: { folder: string; files: readonly string[] };
  /** File of NAME=VALUE lines, mode 0600: for what is a secret. */
  secrets: string;
  /** Such as `300M`. */
  memory: string;
  /** Such as `50%` of one core; undefined = no limit. */
  cpu: string | undefined;
  /** Variables besides, none of them a secret. */
  environment?: Readonly<Record<string, string>>;
  /** False: it tells systemd nothing of itself, as what is no loop. */
  tells?: boolean;
}

/** How long the loop may be silent: it says that it lives three times in so long. */
const watchdogSeconds = 60;

/**
 * Text of the unit (systemd.service(5), systemd.exec(5), systemd.resource-control(5)), for systemd 247 and later. Without
 * MemoryDenyWriteExecute: V8 makes machine code. Without network-online.target: a loop begins alone.
 */
export function loopUnit(options: LoopUnitOptions): string {
  const { name, user } = options;
  const service = `aiot-loop-${name}`;
  return unitSections({
    Unit: [
      `Description=aiot loop ${unitValue(name)}: sensor to prediction`,
      'After=network.target',
      `RequiresMountsFor=${unitQuoted(unitValue(options.project))}`,
      // It is started again for ever: nobody is there to do it.
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
      ? ['Type=notify', '# systemd-notify is a process of its own.', 'NotifyAccess=all']
      : ['Type=exec']),
    `ExecStart=${command.map(unitWord).join(' ')}`,
    `WorkingDirectory=${unitFolder(project)}`,
    `EnvironmentFile=-${unitFile(secrets)}`,
    ...(tells
      ? [
          '# READY comes with the first sample; a sensor may be plugged in late.',
          'TimeoutStartSec=10min',
          `WatchdogSec=${watchdogSeconds}`,
        ]
      : []),
    'Restart=always',
    'RestartSec=5',
    '# SIGTERM: what was answered goes out, or to disk.',
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
    // Where systemd puts them; it is there only when there are any.
    place(config.files.length > 0 ? `/run/credentials/${service}.service` : `%S/${service}/config`),
  ];
}

function confinement({ user, devices, reads, config }: LoopUnitOptions): string[] {
  const { allow, kernelFiles } = devices;
  const seen = [...reads, ...(user === undefined ? [] : [config.folder])];
  return confined({ reads: seen, devices: allow, kernelFiles });
}

/** What of this machine a loop has to reach, in systemd's and Debian's names. */
interface Devices {
  /** `DeviceAllow=`: a node, or a kind of them, which is also there when the device is plugged in later. */
  allow: string[];
  groups: string[];
  /** It writes below /sys. */
  kernelFiles: boolean;
}

interface Kind {
  allow: (place: string) => string[];
  group: string;
  kernelFiles?: true;
}

/** `i2c://1/CHIP` and `i2c://%2Fdev%2Fi2c-3/CHIP` */
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
  // By kind and not by name: an adapter that is plugged in again may have another number.
  serial: { allow: () => ['char-ttyUSB', 'char-ttyACM', 'char-ttyAMA', 'char-ttyS'], group: 'dialout' },
};

/** What the sensor, the outputs and the accelerator need; nothing for what comes over a network. */
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
    // The simulated bus is in the process itself.
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
