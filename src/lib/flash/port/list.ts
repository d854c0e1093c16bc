import { constants } from 'node:fs';
import { access, readFile, stat } from 'node:fs/promises';
import * as z from 'zod';
import { AiotError, systemCode } from '../../core/errors.js';
import { nativePart } from '../../core/process.js';
import { type ChipName, chipNames } from '../../formats/esp-image/chips.js';
import { type Holder, holdersOf } from './holders.js';
import { linuxPorts } from './linux.js';

const usbSchema = z.object({
  vendorId: z.string().describe('Four hex digits, lower case.'),
  productId: z.string().describe('Four hex digits, lower case.'),
  serialNumber: z.string().nullable().describe('As the adapter tells it; null where it has none.'),
  interface: z.number().nullable().describe('Which of several ports of one adapter, from 0.'),
});

/** A serial port of this machine and what is known of it without opening it. */
export const portSchema = z.object({
  path: z.string().describe('What --port takes: /dev/ttyUSB0, /dev/cu.usbserial-0001, COM3.'),
  kind: z.enum(['usb', 'onboard', 'bluetooth']),
  usb: usbSchema.nullable(),
  manufacturer: z.string().nullable(),
  product: z.string().nullable(),
  adapter: z.string().nullable().describe('What converts USB to serial; null where it is not known.'),
  chips: z
    .array(z.enum(chipNames as [ChipName, ...ChipName[]]))
    .describe('Chips that this USB identity allows; empty: any.'),
  board: z.boolean().describe('Whether a board can be expected here: a port is only chosen among these.'),
  access: z.enum(['ok', 'denied', 'unknown']),
  group: z.string().nullable().describe('Whom one has to belong to where access is denied.'),
  busy: z.boolean().nullable().describe('Null: this system does not tell without opening it.'),
  holders: z.array(z.object({ pid: z.number(), name: z.string() })).describe('Programs that have it open.'),
  alias: z.string().nullable().describe('A name that stays the same wherever it is plugged in.'),
});

export type PortInfo = z.infer<typeof portSchema>;

/** What a system's listing says, before anything is looked up. */
export type ListedPort = Pick<PortInfo, 'path' | 'kind' | 'usb' | 'manufacturer' | 'product' | 'alias'>;

/**
 * The port that is meant: the one named, else the only one at which a board can be expected. Never guesses: with several
 * it names them all, also where only one of them is free or has a known adapter.
 *
 * @throws AIOT_SERIAL_NOT_FOUND, AIOT_SERIAL_AMBIGUOUS
 */
export async function choosePort(named?: string, system?: PortSystem): Promise<string> {
  if (named !== undefined) return named;
  const [only, ...others] = await boardPorts(system);
  if (only && others.length === 0) return only.path;
  const names = [only, ...others].map((port) => port && describePath(port)).join(', ');
  throw new AiotError('AIOT_SERIAL_AMBIGUOUS', `${others.length + 1} boards could be meant: ${names}`, {
    next: `Name one, such as --port ${only?.path}; aiot device ports tells more.`,
  });
}

/** All ports at which a board can be expected. @throws AIOT_SERIAL_NOT_FOUND where there is none */
export async function boardPorts(system?: PortSystem): Promise<PortInfo[]> {
  const ports = await listPorts(system);
  const boards = ports.filter(({ board }) => board);
  if (boards.length > 0) return boards;
  const others = ports.map(({ path }) => path).join(', ');
  const besides = others
    ? ` (there are ${others}, which are not USB: name one with --port if it is meant)`
    : '';
  throw new AiotError('AIOT_SERIAL_NOT_FOUND', `no board on a USB port here${besides}`, {
    next: 'Plug it in with a cable that carries data; aiot device ports shows what this machine sees.',
  });
}

/** `/dev/ttyUSB0 (CP210x 0001)` */
function describePath({ path, adapter, usb }: PortInfo): string {
  const about = [adapter, usb?.serialNumber].filter(Boolean).join(' ');
  return about ? `${path} (${about})` : path;
}

/** What is asked of the system; tests give recorded answers. */
export interface PortSystem {
  list(): Promise<ListedPort[]>;
  access(path: string): Promise<Pick<PortInfo, 'access' | 'group'>>;
  /** Null: this system does not tell. */
  holders(path: string): Promise<Holder[] | null>;
}

/** The serial ports of this machine, those at which a board can be expected first. Opens none of them. */
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
  // Windows' ports are no files; only opening one tells.
  if (process.platform === 'win32') return { access: 'unknown', group: null };
  try {
    await access(path, constants.R_OK | constants.W_OK);
    return { access: 'ok', group: null };
  } catch (error) {
    // Listed, and no file of it here: in a container, as a rule.
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
  /** Chips that are this USB device themselves; empty for a bridge, behind which any may be. */
  chips: ChipName[];
}

/** The chips that have a USB Serial/JTAG unit. */
const usbJtagChips: ChipName[] = ['esp32s3', 'esp32c3', 'esp32c5', 'esp32c6', 'esp32h2', 'esp32p4'];

const espressif = '303a';

/**
 * USB identities of what stands between a computer and a board. Sources: Espressif's list of its product ids
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

/** What a port's USB identity tells; null for none, or one that is not known. */
function adapterOf(usb: ListedPort['usb']): Adapter | null {
  if (!usb) return null;
  const known = adapters[`${usb.vendorId}:${usb.productId}`];
  // Makers of boards get numbers of their own under Espressif's: for chips that are a USB device themselves.
  return (
    known ?? (usb.vendorId === espressif ? { name: 'Espressif USB', chips: ['esp32s2', 'esp32s3'] } : null)
  );
}

/** One port as `serialport` lists it on macOS and Windows. */
interface SerialportEntry {
  path: string;
  manufacturer?: string | undefined;
  serialNumber?: string | undefined;
  pnpId?: string | undefined;
  vendorId?: string | undefined;
  productId?: string | undefined;
  /** Windows alone: the device manager's name. */
  friendlyName?: string | undefined;
}

/** What `serialport` lists on macOS or Windows, in our words. */
export function listedPorts(entries: readonly SerialportEntry[]): ListedPort[] {
  return entries.filter(({ path }) => !isInternal(path)).map(fromEntry);
}

/** macOS's own consoles, which no board is behind. */
const isInternal = (path: string) => /\/(cu|tty)\.(debug-console|wlan-debug)$/.test(path);

function fromEntry(entry: SerialportEntry): ListedPort {
  const pnpId = entry.pnpId ?? '';
  const vendorId = hex(entry.vendorId) ?? /VID_([0-9A-F]{4})/i.exec(pnpId)?.[1]?.toLowerCase() ?? null;
  const productId = hex(entry.productId) ?? /PID_([0-9A-F]{4})/i.exec(pnpId)?.[1]?.toLowerCase() ?? null;
  const usb = vendorId !== null && productId !== null;
  const bluetooth = /bluetooth/i.test(entry.path) || /^BTHENUM\\/i.test(pnpId);
  const windows = /^COM\d+$/i.test(entry.path);
  return {
    // /dev/tty.* waits for a carrier when it is opened; a board gives none.
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
 * Windows puts an instance number of its own (with `&`) where a device has no serial number, and FTDI's driver hides the
 * number in the id, with the port's letter behind it: `FTDIBUS\VID_0403+PID_6001+A50285BIA\0000`.
 */
function windowsSerial(told: string | undefined, pnpId: string): string | null {
  const ftdi = /^FTDIBUS\\VID_\w{4}\+PID_\w{4}\+(\w+)\w\\/i.exec(pnpId)?.[1];
  if (ftdi) return ftdi;
  return told && !told.includes('&') ? known(told) : null;
}

const known = (text: string | undefined) => text?.trim() || null;

/** `0x10C4  (…)`, `10C4` or `10c4` → `10c4`. */
const hex = (text: string | undefined) =>
  /^(?:0x)?([0-9a-f]{1,4})\b/i
    .exec(text ?? '')?.[1]
    ?.toLowerCase()
    .padStart(4, '0') ?? null;

const number = (text: string | undefined) => (text === undefined ? null : Number.parseInt(text, 16));
