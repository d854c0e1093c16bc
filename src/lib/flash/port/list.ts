import { constants } from 'node:fs';
import { access, readdir, readFile, readlink, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import * as z from 'zod';
import { AiotError, systemCode } from '../../core/errors.js';
import { nativePart } from '../../core/process.js';
import { type ChipName, chipNames } from '../../formats/esp-image/chips.js';
import type { UsbIdentity } from './line.js';

const usbSchema = z.object({
  vendorId: z.string().describe('Four hex digits, lowercase.'),
  productId: z.string().describe('Four hex digits, lowercase.'),
  serialNumber: z.string().nullable().describe('As reported by the adapter; null if it has none.'),
  interface: z.number().nullable().describe('Index of the port on an adapter with several ports, from 0.'),
});

/** A serial port of this machine, with the information available without opening it. */
export const portSchema = z.object({
  path: z.string().describe('Value for --port: /dev/ttyUSB0, /dev/cu.usbserial-0001, COM3.'),
  kind: z.enum(['usb', 'onboard', 'bluetooth']),
  usb: usbSchema.nullable(),
  manufacturer: z.string().nullable(),
  product: z.string().nullable(),
  adapter: z.string().nullable().describe('The USB-to-serial converter; null if unknown.'),
  chips: z
    .array(z.enum(chipNames as [ChipName, ...ChipName[]]))
    .describe('Chips that match this USB identity; empty = any.'),
  board: z
    .boolean()
    .describe('Whether a board is likely at this port; only such ports are chosen automatically.'),
  access: z.enum(['ok', 'denied', 'unknown']),
  group: z.string().nullable().describe('Group that grants access; null if access is allowed.'),
  busy: z.boolean().nullable().describe('Null if this system cannot determine it without opening the port.'),
  holders: z
    .array(z.object({ pid: z.number(), name: z.string() }))
    .describe('Programs that have the port open.'),
  alias: z.string().nullable().describe('Name that is the same in every USB socket.'),
});

export type PortInfo = z.infer<typeof portSchema>;

/** A port as listed by the system, before any further lookups. */
export type ListedPort = Pick<PortInfo, 'path' | 'kind' | 'usb' | 'manufacturer' | 'product' | 'alias'>;

/**
 * Returns the specified port or, if none is specified, the only one that may have a board. Never guesses: if there are several, the error
 * lists them all, even if only one of them is free or has a known adapter.
 * @throws AIOT_SERIAL_NOT_FOUND, AIOT_SERIAL_AMBIGUOUS
 */
export async function choosePort(named?: string, system?: PortSystem): Promise<string> {
  if (named !== undefined) return named;
  const [only, ...others] = await boardPorts(system);
  if (only && others.length === 0) return only.path;
  const names = [only, ...others].map((port) => port && describePath(port)).join(', ');
  throw new AiotError('AIOT_SERIAL_AMBIGUOUS', `${others.length + 1} boards are connected: ${names}`, {
    next: `Choose one, such as --port ${only?.path}. For details, run \`aiot board ports\`.`,
  });
}

/** All ports that may have a board. @throws AIOT_SERIAL_NOT_FOUND if there is none */
export async function boardPorts(system?: PortSystem): Promise<PortInfo[]> {
  const ports = await listPorts(system);
  const boards = ports.filter(({ board }) => board);
  if (boards.length > 0) return boards;
  const others = ports.map(({ path }) => path).join(', ');
  const besides = others ? `; to use another port, pass --port (found: ${others})` : '';
  throw new AiotError('AIOT_SERIAL_NOT_FOUND', `no board is connected to a USB port${besides}`, {
    next: 'Connect a board with a cable that carries data (see `aiot board ports`). To try without a board, run `aiot board simulate`.',
  });
}

/** A port's description in messages, such as `/dev/ttyUSB0 (CP210x 0001)`. */
function describePath({ path, adapter, usb }: PortInfo): string {
  const about = [adapter, usb?.serialNumber].filter(Boolean).join(' ');
  return about ? `${path} (${about})` : path;
}

/** System queries. Tests replace them with recorded results. */
export interface PortSystem {
  list(): Promise<ListedPort[]>;
  access(path: string): Promise<Pick<PortInfo, 'access' | 'group'>>;
  /** Programs that have a port open; null if this system does not provide the information. */
  holders(path: string): Promise<Holder[] | null>;
}

/** Lists the serial ports of this machine, those that may have a board first. Opens none of them. */
export async function listPorts(system: PortSystem = thisSystem): Promise<PortInfo[]> {
  const ports = await Promise.all((await system.list()).map((port) => describePort(port, system)));
  const order = new Intl.Collator('en', { numeric: true });
  return ports.sort((a, b) => Number(b.board) - Number(a.board) || order.compare(a.path, b.path));
}

async function describePort(port: ListedPort, system: PortSystem): Promise<PortInfo> {
  const adapter = adapterOf(port.usb);
  const holders = await system.holders(port.path);
  return {
    ...port,
    adapter: adapter?.name ?? null,
    chips: adapter?.chips ?? [],
    board: port.kind === 'usb',
    ...(await system.access(port.path)),
    busy: holders && holders.length > 0,
    holders: holders ?? [],
  };
}

const thisSystem: PortSystem = {
  list: async () => {
    if (process.platform === 'linux') return linuxPorts();
    const { SerialPort } = await nativePart('serialport', () => import('serialport'));
    return listedPorts(await SerialPort.list());
  },
  access: accessTo,
  holders: async (path) => (process.platform === 'linux' ? holdersOf(path) : null),
};

async function accessTo(path: string): Promise<Pick<PortInfo, 'access' | 'group'>> {
  // Ports on Windows are not files, so access can be tested only by opening them.
  if (process.platform === 'win32') return { access: 'unknown', group: null };
  try {
    await access(path, constants.R_OK | constants.W_OK);
    return { access: 'ok', group: null };
  } catch (error) {
    // The port is listed but has no device file, which is typical of a container.
    if (systemCode(error) === 'ENOENT') return { access: 'unknown', group: null };
    return { access: 'denied', group: await groupOf(path) };
  }
}

async function groupOf(path: string): Promise<string | null> {
  const about = await stat(path).catch(() => null);
  const groups = await readFile('/etc/group', 'utf8').catch(() => '');
  const row = groups.split('\n').find((line) => line.split(':')[2] === String(about?.gid));
  return row?.split(':')[0] ?? null;
}

interface Adapter {
  name: string;
  /** Chips that implement this USB device themselves; empty for an adapter, which may be connected to any chip. */
  chips: ChipName[];
}

/** The chips that have a USB Serial/JTAG unit. */
const usbJtagChips: ChipName[] = [
  ...(['esp32s3', 'esp32c3', 'esp32c5', 'esp32c6', 'esp32c61'] as const),
  ...(['esp32h2', 'esp32h21', 'esp32h4', 'esp32p4'] as const),
];

const espressif = '303a';

/**
 * USB identities of adapters between a computer and a board. Sources: Espressif's list of its product ids
 * (github.com/espressif/usb-pids), the Linux kernel's drivers cp210x, ch341, ftdi_sio and pl2303, and WCH's cdc_acm parts.
 */
const adapters: Record<string, Adapter> = {
  '303a:0002': { name: 'ESP32-S2 USB', chips: ['esp32s2'] },
  '303a:0009': { name: 'ESP32-S3 USB', chips: ['esp32s3'] },
  '303a:0012': { name: 'ESP32-P4 USB', chips: ['esp32p4'] },
  '303a:1001': { name: 'USB Serial/JTAG', chips: usbJtagChips },
  '303a:1002': { name: 'ESP USB bridge', chips: [] },
  '10c4:ea60': { name: 'CP210x', chips: [] },
  '10c4:ea70': { name: 'CP2105', chips: [] },
  '10c4:ea71': { name: 'CP2108', chips: [] },
  '1a86:7522': { name: 'CH340', chips: [] },
  '1a86:7523': { name: 'CH340', chips: [] },
  '1a86:5523': { name: 'CH341', chips: [] },
  '1a86:55d2': { name: 'CH342', chips: [] },
  '1a86:55d3': { name: 'CH343', chips: [] },
  '1a86:55d4': { name: 'CH9102', chips: [] },
  '1a86:55d8': { name: 'CH9101', chips: [] },
  '0403:6001': { name: 'FT232R', chips: [] },
  '0403:6010': { name: 'FT2232', chips: [] },
  '0403:6011': { name: 'FT4232', chips: [] },
  '0403:6014': { name: 'FT232H', chips: [] },
  '0403:6015': { name: 'FT231X', chips: [] },
  '067b:2303': { name: 'PL2303', chips: [] },
  '067b:23a3': { name: 'PL2303GC', chips: [] },
};

/** The adapter with a port's USB identity; null if the port has no USB identity, or an unknown one. */
function adapterOf(usb: ListedPort['usb']): Adapter | null {
  if (!usb) return null;
  const known = adapters[`${usb.vendorId}:${usb.productId}`];
  // Under its vendor id, Espressif assigns product ids to manufacturers of boards whose chip is itself the USB device.
  return (
    known ?? (usb.vendorId === espressif ? { name: 'Espressif USB', chips: ['esp32s2', 'esp32s3'] } : null)
  );
}

/** A port as listed by `serialport` on macOS and Windows. */
interface SerialportEntry {
  path: string;
  manufacturer?: string | undefined;
  serialNumber?: string | undefined;
  pnpId?: string | undefined;
  vendorId?: string | undefined;
  productId?: string | undefined;
  /** Windows only: the name in the device manager. */
  friendlyName?: string | undefined;
}

/** Converts the list that `serialport` returns on macOS or Windows. */
export function listedPorts(entries: readonly SerialportEntry[]): ListedPort[] {
  return entries.filter(({ path }) => !isInternal(path)).map(fromEntry);
}

/** macOS's own ports, which never have a board. */
const isInternal = (path: string) => /\/(cu|tty)\.(debug-console|wlan-debug)$/.test(path);

function fromEntry(entry: SerialportEntry): ListedPort {
  const pnpId = entry.pnpId ?? '';
  const vendorId = hex(entry.vendorId) ?? /VID_([0-9A-F]{4})/i.exec(pnpId)?.[1]?.toLowerCase() ?? null;
  const productId = hex(entry.productId) ?? /PID_([0-9A-F]{4})/i.exec(pnpId)?.[1]?.toLowerCase() ?? null;
  const usb = vendorId !== null && productId !== null;
  const bluetooth = /bluetooth/i.test(entry.path) || /^BTHENUM\\/i.test(pnpId);
  const windows = /^COM\d+$/i.test(entry.path);
  return {
    // Opening /dev/tty.* waits for a carrier, which boards do not provide.
    path: entry.path.replace(/^\/dev\/tty\./, '/dev/cu.'),
    kind: bluetooth ? 'bluetooth' : usb ? 'usb' : 'onboard',
    usb: usb
      ? {
          vendorId,
          productId,
          serialNumber: windows ? windowsSerial(entry.serialNumber, pnpId) : known(entry.serialNumber),
          interface: number(/&MI_([0-9A-F]{2})/i.exec(pnpId)?.[1]),
        }
      : null,
    manufacturer: known(entry.manufacturer),
    product: known(entry.friendlyName?.replace(/\s*\(COM\d+\)$/, '')),
    alias: null,
  };
}

/**
 * Extracts the serial number on Windows. If a device has none, Windows substitutes an instance number, which contains `&`. FTDI's driver
 * puts the serial number into the id, followed by the port's letter: `FTDIBUS\VID_0403+PID_6001+A50285BIA\0000`.
 */
function windowsSerial(told: string | undefined, pnpId: string): string | null {
  const ftdi = /^FTDIBUS\\VID_\w{4}\+PID_\w{4}\+(\w+)\w\\/i.exec(pnpId)?.[1];
  if (ftdi) return ftdi;
  return told && !told.includes('&') ? known(told) : null;
}

const known = (text: string | undefined) => text?.trim() || null;

/** Converts a USB id to four digits: `0x10C4  (…)`, `10C4` and `10c4` become `10c4`. */
const hex = (text: string | undefined) =>
  /^(?:0x)?([0-9a-f]{1,4})\b/i
    .exec(text ?? '')?.[1]
    ?.toLowerCase()
    .padStart(4, '0') ?? null;

const number = (text: string | undefined) => (text === undefined ? null : Number.parseInt(text, 16));

/** Names of ttys that are serial ports, because consoles and ptys are ttys as well. */
const serial =
  /^(ttyUSB|ttyACM|ttyXRUSB|ttyWCHUSB|ttyCH343USB|ttyAMA|ttyS|ttyO|ttymxc|ttyTHS|ttyHS|ttySAC|ttyPS|rfcomm)\d+$/;

/**
 * Lists the serial ports in /sys/class/tty, which works without udev, and therefore even in a container. `root` is for tests. Source:
 * kernel, Documentation/ABI/stable/sysfs-bus-usb and testing/sysfs-tty (`type`: 0 = no such port).
 */
export async function linuxPorts(root = '/'): Promise<ListedPort[]> {
  const tty = join(root, 'sys/class/tty');
  const names = (await readdir(tty).catch(() => [])).filter((name) => serial.test(name));
  const aliases = await byId(root);
  const found = await Promise.all(
    names.map(async (name): Promise<ListedPort | null> => {
      const device = await realpath(join(tty, name, 'device')).catch(() => null);
      const bluetooth = name.startsWith('rfcomm');
      if (!device && !bluetooth) return null;
      // The 8250 driver creates 4 to 32 ports, even if the machine does not have them.
      if ((await text(join(tty, name, 'type'))) === '0') return null;
      const usb = device ? await usbOf(device) : null;
      return {
        path: `/dev/${name}`,
        kind: bluetooth ? 'bluetooth' : usb ? 'usb' : 'onboard',
        usb: usb?.identity ?? null,
        manufacturer: usb?.manufacturer ?? null,
        product: usb?.product ?? null,
        alias: aliases.get(name) ?? null,
      };
    }),
  );
  return found.filter((port) => port !== null);
}

/**
 * The USB device behind a tty, from sysfs: follows the tty's device upward to the interface and to the USB device. Null if it is not a
 * USB device. Numbers are hexadecimal text. Source: kernel, Documentation/ABI/testing/sysfs-bus-usb.
 */
async function usbOf(device: string) {
  let number: number | null = null;
  for (let folder = device; folder !== dirname(folder); folder = dirname(folder)) {
    const listed = await text(join(folder, 'bInterfaceNumber'));
    if (listed !== null) number = Number.parseInt(listed, 16);
    const vendorId = await text(join(folder, 'idVendor'));
    const productId = await text(join(folder, 'idProduct'));
    if (vendorId === null || productId === null) continue;
    const serialNumber = await text(join(folder, 'serial'));
    return {
      identity: { vendorId, productId, serialNumber, interface: number },
      manufacturer: await text(join(folder, 'manufacturer')),
      product: await text(join(folder, 'product')),
    };
  }
  return null;
}

/** The links that udev creates in /dev/serial/by-id, by the name of their tty. */
async function byId(root: string): Promise<Map<string, string>> {
  const folder = join(root, 'dev/serial/by-id');
  const links = await readdir(folder).catch(() => []);
  const targets = await Promise.all(links.map((link) => readlink(join(folder, link)).catch(() => '')));
  return new Map(links.map((link, i) => [basename(targets[i] ?? ''), `/dev/serial/by-id/${link}`]));
}

function text(file: string): Promise<string | null> {
  return readFile(file, 'utf8').then(
    (content) => content.trim() || null,
    () => null,
  );
}

/** The USB identity of the adapter behind a port; null if there is none, or the system does not report it. */
export async function usbIdentity(path: string): Promise<UsbIdentity | null> {
  return process.platform === 'linux' ? fromSysfs(basename(path)) : fromList(path);
}

async function fromSysfs(name: string): Promise<UsbIdentity | null> {
  const device = await realpath(join('/sys/class/tty', name, 'device')).catch(() => null);
  const usb = device === null ? null : await usbOf(device);
  if (!usb) return null;
  const { vendorId, productId, serialNumber } = usb.identity;
  return {
    vendorId: Number.parseInt(vendorId, 16),
    productId: Number.parseInt(productId, 16),
    serialNumber,
  };
}

async function fromList(path: string): Promise<UsbIdentity | null> {
  const { SerialPort } = await nativePart('serialport', () => import('serialport'));
  const ports = await SerialPort.list().catch(() => []);
  // macOS lists /dev/tty.*, but users open /dev/cu.*, which does not wait for a carrier.
  const plain = (name: string) => name.replace('/dev/cu.', '/dev/tty.').toLowerCase();
  const found = ports.find((port) => plain(port.path) === plain(path));
  if (!found?.vendorId || !found.productId) return null;
  return {
    vendorId: Number.parseInt(found.vendorId, 16),
    productId: Number.parseInt(found.productId, 16),
    serialNumber: found.serialNumber ?? null,
  };
}

/** A program that has a port open. */
interface Holder {
  pid: number;
  name: string;
}

/**
 * Other programs that have this port open, as far as permissions allow: Linux's /proc shows those of the current user, or all of them to
 * root. If any of them have locked the port, only those are returned. Empty on other systems. Source: proc(5): /proc/PID/fd,
 * /proc/PID/comm, /proc/locks.
 */
export async function holdersOf(path: string): Promise<Holder[]> {
  if (process.platform !== 'linux') return [];
  const port = await realpath(path).catch(() => path);
  const pids = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(
    pids.map(async (pid) => {
      if (Number(pid) === process.pid || !(await hasOpen(pid, port))) return null;
      const name = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '?');
      return { pid: Number(pid), name: name.trim() };
    }),
  );
  const holders = found.filter((holder) => holder !== null);
  const lockers = await lockersOf(port);
  const locking = holders.filter(({ pid }) => lockers.has(pid));
  return locking.length > 0 ? locking : holders;
}

async function lockersOf(port: string): Promise<Set<number>> {
  const locks = await readFile('/proc/locks', 'utf8').catch(() => '');
  const inode = await stat(port).then(
    ({ ino }) => ino,
    () => -1,
  );
  const rows = locks.matchAll(/^\d+: FLOCK +ADVISORY +WRITE +(\d+) \w+:\w+:(\d+) /gm);
  return new Set([...rows].filter((row) => Number(row[2]) === inode).map((row) => Number(row[1])));
}

async function hasOpen(pid: string, port: string): Promise<boolean> {
  const files = await readdir(`/proc/${pid}/fd`).catch(() => []);
  for (const file of files) {
    if ((await readlink(`/proc/${pid}/fd/${file}`).catch(() => null)) === port) return true;
  }
  return false;
}

/** The address of a port for messages and results: without the passwords of a simulated chip's networks. */
export const withoutPasswords = (address: string): string =>
  address.startsWith('simulated:')
    ? address.replace(/(network=(?:\\.|(?!%3a)[^:&\\])*)(?::|%3a)[^&]*/gi, '$1:…')
    : address;
