import type { ChipName } from '../../formats/esp-image/chips.js';
import type { ListedPort } from './types.js';

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
export function adapterOf(usb: ListedPort['usb']): Adapter | null {
  if (!usb) return null;
  const known = adapters[`${usb.vendorId}:${usb.productId}`];
  // Makers of boards get numbers of their own under Espressif's: for chips that are a USB device themselves.
  return (
    known ?? (usb.vendorId === espressif ? { name: 'Espressif USB', chips: ['esp32s2', 'esp32s3'] } : null)
  );
}
