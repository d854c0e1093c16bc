import { readFile, realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { UsbIdentity } from './types.js';

/** What USB says of the adapter behind a port; null for a port without, or where the system does not tell. */
export async function usbIdentity(path: string): Promise<UsbIdentity | null> {
  return process.platform === 'linux' ? fromSysfs(basename(path)) : fromList(path);
}

/** Linux: the tty's device, upwards until the USB device. Source: kernel, Documentation/ABI/testing/sysfs-bus-usb. */
async function fromSysfs(name: string): Promise<UsbIdentity | null> {
  let folder = await realpath(join('/sys/class/tty', name, 'device')).catch(() => null);
  while (folder?.startsWith('/sys/devices/')) {
    const vendor = await text(join(folder, 'idVendor'));
    const product = await text(join(folder, 'idProduct'));
    if (vendor !== null && product !== null) {
      return {
        vendorId: Number.parseInt(vendor, 16),
        productId: Number.parseInt(product, 16),
        serialNumber: await text(join(folder, 'serial')),
      };
    }
    folder = dirname(folder);
  }
  return null;
}

function text(file: string): Promise<string | null> {
  return readFile(file, 'utf8').then(
    (content) => content.trim(),
    () => null,
  );
}

async function fromList(path: string): Promise<UsbIdentity | null> {
  const { SerialPort } = await import('serialport');
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
