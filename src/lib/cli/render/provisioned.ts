import { elapsed, hex, plural, size } from '../../core/figures.js';
import { shellWord } from '../../core/text.js';
import type { Joined } from '../../device/onboard/improv.js';
import type { Onboarded } from '../../device/onboard/onboard.js';
import type { NvsMade, NvsRead } from '../../flash/images/nvs.js';
import type { VerifiedDevice } from '../../provision/birth.js';
import type { ProvisionedDevice } from '../../provision/provision.js';
import type { FleetResult } from '../../provision/provision-fleet.js';
import { bold, day, dim, facts, green, minute, red, table, yellow } from './text.js';

/** A newly provisioned device: its properties, and where its secrets are. */
export function provisionedText(device: ProvisionedDevice | Onboarded, done: string): string {
  const { name, id, certificate, files, birth } = device;
  const board = 'board' in device ? device.board : null;
  const isChip = board !== null || files.some((file) => file.endsWith('nvs.bin'));
  const rows: [string, string][] = [
    ['id', id],
    ...(board ? boardFacts(board) : []),
    ...(device.platform ? platformFact(device.platform, isChip) : []),
    ...(device.wifi === undefined ? [] : [wifiFact(device.wifi)]),
    ['certificate', certificate.fingerprint],
    ['valid until', day(certificate.expires)],
    ...(files.length > 0 ? [['files', files.join(', ')] as [string, string]] : []),
    [
      'birth certificate',
      birth
        ? `signed record of this device, on the platform; aiot device verify ${name} checks it`
        : 'none (a signed record of this device): your signing key is not on this machine',
    ],
  ];
  return `${bold(name)} ${done}\n${facts(rows)}`;
}

/** A board that has joined a Wi-Fi network. */
export function joinedText({ device, chip, firmware, version, ssid, url, seconds }: Joined): string {
  const rows: [string, string][] = [
    ...(chip === null ? [] : [['chip', chip] as [string, string]]),
    ...(firmware === null ? [] : [['firmware', `${firmware} ${version ?? ''}`.trim()] as [string, string]]),
    ...(url === null ? [] : [['page', url] as [string, string]]),
  ];
  const done = `${bold(device ?? 'The board')} joined ${ssid} in ${elapsed(seconds * 1000)}.`;
  return rows.length === 0 ? done : `${done}\n${facts(rows)}`;
}

/** The platform of a device, with a warning if a board cannot reach it. */
export function platformFact(url: string, isChip: boolean): [string, string][] {
  const alone = isChip && /^https:\/\/(127\.|localhost|\[::1\])/.test(url);
  const warning = ` ${yellow('(reachable only from this machine, not by boards; use aiot up --host 0.0.0.0)')}`;
  return [['platform', `${url}${alone ? warning : ''}`]];
}

export function wifiFact(wifi: NonNullable<ProvisionedDevice['wifi']> | null): [string, string] {
  if (wifi === null) return ['Wi-Fi', yellow('none: configure it in the firmware, or use --wifi-ssid')];
  if (wifi.login !== undefined) return ['Wi-Fi', `${wifi.ssid} (login: ${wifi.login})`];
  return ['Wi-Fi', `${wifi.ssid}${wifi.open ? ` ${yellow('(open network: no password was given)')}` : ''}`];
}

/** Warnings about possibly unintended results. With --json, they are printed on stderr too. */
export function provisionWarnings(result: ProvisionedDevice | Onboarded | FleetResult): string[] {
  const devices: ProvisionedDevice[] = 'devices' in result ? result.devices : [result];
  const open = devices.filter(({ wifi }) => wifi?.open).map(({ name }) => name);
  if (open.length === 0) return [];
  const names = open.slice(0, 3).join(', ') + (open.length > 3 ? ` and ${open.length - 3} more` : '');
  return [`${names}: Wi-Fi without a password, as for an open network (use --wifi-password-file FILE)`];
}

function boardFacts({ description, mac, chipId, regions, seconds }: Onboarded['board']): [string, string][] {
  const written = regions.map(({ name, offset }) => `${name} at ${hex(offset)}`).join(', ');
  return [
    ['board', `${description}, ${mac}${chipId === null ? '' : ` (chip id ${chipId})`}`],
    ['written', `${written}; verified in ${elapsed(seconds * 1000)}`],
  ];
}

/** A fleet, one row per device. */
export function fleetText({ devices, failed, seconds }: FleetResult): string {
  const rows = [
    ...devices.map(({ name, type, chipId, certificate, skipped }) => [
      name,
      type,
      chipId,
      certificate.fingerprint.slice(0, 16),
      skipped ? 'created before' : green('made'),
    ]),
    ...failed.map(({ name, error }) => [name, null, null, null, red(`${error.code}: ${error.message}`)]),
  ];
  const made = devices.filter(({ skipped }) => !skipped).length;
  const line = `${made} created, ${devices.length - made} created before, ${failed.length} failed in ${elapsed(seconds * 1000)}.`;
  return `${table(['name', 'type', 'chip id', 'certificate', ''], rows)}\n\n${line}`;
}

/** A device compared with its birth certificate, one row per check. */
export function verifiedText({ name, verified, checks, birth, stored }: VerifiedDevice): string {
  const rows = checks.map(({ check, passed, expected, got }) => [
    passed ? green('✓') : red('✗'),
    check,
    passed ? shortText(got) : `expected ${expected}, got ${got}`,
  ]);
  const revoked = checks.some(({ check, passed }) => check === 'state' && !passed);
  const said = verified ? 'as provisioned' : revoked ? red('revoked') : `${red('not')} as provisioned`;
  const told = `${bold(name)} is ${said}.`;
  const chip = birth.chip ? birth.chip.description : 'no board was connected when it was provisioned';
  const about = facts([
    ['made', `${minute(birth.time)} UTC by ${birth.operator.slice(0, 12)}, with aiot ${birth.aiot}`],
    ['chip', chip],
    ['stored', `${minute(stored)} UTC`],
  ]);
  return `${told}\n${about}\n\n${table(['', 'check', ''], rows)}`;
}

function shortText(text: string): string {
  const shorter = text.replace(/[0-9a-f]{64}/g, (digest) => `${digest.slice(0, 16)}…`);
  return shorter.length > 60 ? `${shorter.slice(0, 57)}…` : shorter;
}

/** Suggested next commands. `at`: flags to repeat; `source`: as for `simulateCommand`. */
export function afterProvisioning(
  result: ProvisionedDevice | Onboarded | FleetResult,
  {
    folder,
    port,
    at,
    source,
  }: { folder: string | undefined; port: string | undefined; at: string; source: string[] | null },
): string[] {
  if ('devices' in result) return [`aiot device list${at}`];
  const { name, files } = result;
  const show = `aiot device show ${name}${at}`;
  if ('board' in result) {
    const at = `--port ${shellWord(port ?? '')}`;
    const run =
      result.board.program === 'none'
        ? `aiot flash --project FIRMWARE_DIR ${at}`
        : `aiot board monitor ${at}`;
    return [run, show];
  }
  const dir = shellWord(folder ?? '');
  if (files.some((file) => file.endsWith('nvs.bin'))) return [`aiot flash --device ${dir} --port PORT`, show];
  return [simulateCommand(dir, source), show];
}

/**
 * The command that runs a virtual device.
 * @param device its folder, quoted for a shell
 * @param source flags for samples that fit the project; null = there is no project, so the user has to choose a file
 */
export function simulateCommand(device: string, source: string[] | null): string {
  const flags = source?.map(shellWord) ?? ['--recording FILE.csv', '--loop'];
  return ['aiot device simulate', device, ...flags].join(' ');
}

/** Keys whose values are usually secret. */
const secretKey = /pass|pswd|psk|secret|token|^key|_key$|priv/i;

const shownLength = 48;

/** Minimum size of an NVS that can be written, bytes. The ESP-IDF driver needs three pages to write. */
const leastWritable = 0x3000;

export function nvsMadeText({
  bytes,
  version,
  entries,
  namespaces,
  pages,
  encrypted,
  keys,
}: NvsMade): string {
  return facts([
    ['Contains', `${plural(entries, 'value')} in ${plural(namespaces, 'namespace')}`],
    ['Size', `${size(bytes)} (${hex(bytes)}), ${pages.used} of ${plural(pages.total, 'page')} used`],
    ...(bytes < leastWritable
      ? [['', 'smaller than 0x3000: mark its partition readonly'] as [string, string]]
      : []),
    ['Version', version],
    ['Encrypted', encrypted ? 'yes, XTS-AES-256' : 'no'],
    ...(keys === null
      ? []
      : [['Keys', `${keys}: flash it as nvs_keys, and keep it secret`] as [string, string]]),
  ]);
}

/** The contents of an NVS; secrets are omitted unless requested. */
export function nvsText(nvs: NvsRead, showSecrets: boolean): string {
  const used = nvs.pages.filter(({ state }) => state !== 'empty').length;
  const rows = nvs.entries.map((entry) => {
    const secret = !showSecrets && isSecret(entry);
    return [
      entry.namespace,
      entry.key,
      entry.type,
      entry.bytes,
      secret ? dim('(secret)') : shortValue(entry),
    ];
  });
  const hidden = nvs.entries.some((entry) => !showSecrets && isSecret(entry));
  return [
    facts([
      ['Version', nvs.version ?? 'never written'],
      ['Size', `${size(nvs.bytes)} (${hex(nvs.bytes)}), ${used} of ${plural(nvs.pages.length, 'page')} used`],
      ['Encrypted', nvs.encrypted ? 'yes' : 'no'],
    ]),
    '',
    table(['Namespace', 'Key', 'Type', 'Bytes', 'Value'], rows, 'no values'),
    ...(hidden ? [dim('\nSecrets are hidden; use --show-secrets or --json to show them.')] : []),
    ...nvs.problems.map(({ offset, reason }) => `${yellow('!')} offset ${hex(offset)}: ${reason}`),
  ].join('\n');
}

function isSecret({ key, type, value }: NvsRead['entries'][number]): boolean {
  if (type !== 'string' && type !== 'blob') return false;
  const text = type === 'blob' ? Buffer.from(String(value), 'base64').toString('latin1') : String(value);
  return text.includes('PRIVATE KEY') || (secretKey.test(key) && !/^key\d+$/.test(key));
}

function shortValue({ type, value }: NvsRead['entries'][number]): string {
  if (type === 'blob') {
    const hex = Buffer.from(String(value), 'base64').toString('hex');
    return hex.length > shownLength ? `${hex.slice(0, shownLength)}…` : hex;
  }
  const line = type === 'string' ? JSON.stringify(value).slice(1, -1) : String(value);
  return line.length > shownLength ? `${line.slice(0, shownLength)}…` : line;
}
