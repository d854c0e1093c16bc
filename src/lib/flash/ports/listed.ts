import type { ListedPort } from './types.js';

/** One port as `serialport` lists it on macOS and Windows. */
export interface SerialportEntry {
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
