import { realpath } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { nativePart } from '../../core/index.js';
import { usbOf } from '../ports/linux.js';
import type { UsbIdentity } from './types.js';

/** What USB says of the adapter behind a port; null for a port without, or where the system does not tell. */
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
  // macOS lists /dev/tty.*; people open /dev/cu.*, which does not wait for a carrier.
  const plain = (name: string) => name.replace('/dev/cu.', '/dev/tty.').toLowerCase();
  const found = ports.find((port) => plain(port.path) === plain(path));
  if (!found?.vendorId || !found.productId) return null;
  return {
    vendorId: Number.parseInt(found.vendorId, 16),
    productId: Number.parseInt(found.productId, 16),
    serialNumber: found.serialNumber ?? null,
  };
}
