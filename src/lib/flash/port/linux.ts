import { readdir, readFile, readlink, realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { nativePart } from '../../core/process.js';
import type { UsbIdentity } from './line.js';
import type { ListedPort } from './list.js';

/** Names of ttys that are serial ports; consoles and ptys are ttys too. */
const serial =
  /^(ttyUSB|ttyACM|ttyXRUSB|ttyWCHUSB|ttyCH343USB|ttyAMA|ttyS|ttyO|ttymxc|ttyTHS|ttyHS|ttySAC|ttyPS|rfcomm)\d+$/;

/**
 * The serial ports that the kernel knows, from /sys/class/tty: no udev needed, so it works in a container. `root` is for
 * tests. Source: kernel, Documentation/ABI/stable/sysfs-bus-usb and testing/sysfs-tty (`type`: 0 = no such port).
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
      // The 8250 driver makes 4 to 32 ports whether the machine has them or not.
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
 * What sysfs says of the USB device behind a tty: from the tty's device upwards to the interface, then to the USB device.
 * Numbers as hexadecimal text. Source: kernel, Documentation/ABI/testing/sysfs-bus-usb. null = it is none.
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

/** /dev/serial/by-id, which udev makes: tty's name → link. */
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
