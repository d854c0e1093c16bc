import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { portsTable } from '../../src/lib/cli/render/board.js';
import {
  boardPorts,
  choosePort,
  type ListedPort,
  linuxPorts,
  listedPorts,
  listPorts,
  type PortSystem,
  portSchema,
} from '../../src/lib/flash/port/list.js';
import { root, runCli } from '../support/cli.js';

async function recorded(name: 'linux' | 'macos' | 'windows') {
  return JSON.parse(await readFile(join(root, 'test', 'golden', 'ports', `${name}.json`), 'utf8'));
}

/** Creates a folder with the recorded parts of /sys and /dev. */
async function linuxTree(): Promise<ListedPort[]> {
  const folder = await mkdtemp(join(tmpdir(), 'aiot-ports-'));
  try {
    for (const [path, content] of Object.entries<string | { link: string }>(
      (await recorded('linux')).files,
    )) {
      const file = join(folder, path);
      await mkdir(dirname(file), { recursive: true });
      await (typeof content === 'string' ? writeFile(file, content) : symlink(content.link, file));
    }
    return await linuxPorts(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

function systemOf(list: () => Promise<ListedPort[]>, more: Partial<PortSystem> = {}): PortSystem {
  const free = { access: async () => ({ access: 'ok', group: null }) as const, holders: async () => [] };
  return { list, ...free, ...more };
}
const systems = {
  linux: systemOf(linuxTree),
  macos: systemOf(async () => listedPorts((await recorded('macos')).ports)),
  windows: systemOf(async () => listedPorts((await recorded('windows')).ports)),
};
const port = (path: string, vendorId: string, productId: string): ListedPort => ({
  path,
  kind: 'usb',
  usb: { vendorId, productId, serialNumber: null, interface: null },
  manufacturer: null,
  product: null,
  alias: null,
});

describe('the serial ports of a machine', () => {
  it('are listed on Linux, with the USB device and persistent name of each', async () => {
    const ports = await listPorts(systems.linux);
    expect(portSchema.array().parse(ports)).toEqual(ports);
    expect(ports.map(({ path, usb, adapter, kind, board }) => [path, kind, usb, adapter, board])).toEqual([
      [
        '/dev/ttyACM0',
        'usb',
        { vendorId: '303a', productId: '1001', serialNumber: '7C:DF:A1:E0:12:34', interface: 0 },
        'USB Serial/JTAG',
        true,
      ],
      [
        '/dev/ttyUSB0',
        'usb',
        { vendorId: '10c4', productId: 'ea60', serialNumber: '0001', interface: 0 },
        'CP210x',
        true,
      ],
      [
        '/dev/ttyUSB1',
        'usb',
        { vendorId: '0403', productId: '6010', serialNumber: null, interface: 1 },
        'FT2232',
        true,
      ],
      ['/dev/ttyS0', 'onboard', null, null, false],
    ]);
    expect(ports[0]).toMatchObject({
      chips: [
        ...['esp32s3', 'esp32c3', 'esp32c5', 'esp32c6', 'esp32c61'],
        ...['esp32h2', 'esp32h21', 'esp32h4', 'esp32p4'],
      ],
      manufacturer: 'Espressif',
      product: 'USB JTAG/serial debug unit',
      alias: '/dev/serial/by-id/usb-Espressif_USB_JTAG_serial_debug_unit_7C:DF:A1:E0:12:34-if00',
    });
  });

  it('are listed on macOS by their cu.* names, without system consoles', async () => {
    const ports = await listPorts(systems.macos);
    expect(ports.map(({ path, adapter, usb, board }) => [path, adapter, usb?.serialNumber, board])).toEqual([
      ['/dev/cu.SLAB_USBtoUART', 'CP210x', '0001', true],
      ['/dev/cu.usbmodem1101', 'USB Serial/JTAG', '7C:DF:A1:E0:12:34', true],
      ['/dev/cu.usbmodem132456781', null, '13245678', true],
      ['/dev/cu.wchusbserial1410', 'CH340', null, true],
      ['/dev/cu.Bluetooth-Incoming-Port', null, undefined, false],
    ]);
  });

  it('are listed on Windows, without generated instance numbers', async () => {
    const ports = await listPorts(systems.windows);
    expect(ports.map(({ path, kind, product, usb, adapter }) => [path, kind, product, usb, adapter])).toEqual(
      [
        [
          'COM3',
          'usb',
          'Silicon Labs CP210x USB to UART Bridge',
          { vendorId: '10c4', productId: 'ea60', serialNumber: '0001', interface: null },
          'CP210x',
        ],
        [
          'COM7',
          'usb',
          'USB Serial Device',
          { vendorId: '303a', productId: '1001', serialNumber: null, interface: 0 },
          'USB Serial/JTAG',
        ],
        [
          'COM10',
          'usb',
          'USB-SERIAL CH340',
          { vendorId: '1a86', productId: '7523', serialNumber: null, interface: null },
          'CH340',
        ],
        [
          'COM23',
          'usb',
          'USB Serial Port',
          { vendorId: '0403', productId: '6001', serialNumber: 'A51MAMME', interface: null },
          'FT232R',
        ],
        ['COM1', 'onboard', 'Communications Port', null, null],
        ['COM5', 'bluetooth', 'Standard Serial over Bluetooth link', null, null],
      ],
    );
  });

  it('are listed with the program that uses them and the group that grants access', async () => {
    const system = systemOf(
      async () => [port('/dev/ttyUSB0', '10c4', 'ea60'), port('/dev/ttyUSB1', '1a86', '7523')],
      {
        holders: async (path) => (path.endsWith('0') ? [{ pid: 812, name: 'minicom' }] : []),
        access: async (path) =>
          path.endsWith('1') ? { access: 'denied', group: 'dialout' } : { access: 'ok', group: null },
      },
    );
    const ports = await listPorts(system);
    expect(ports.map(({ busy, access, group }) => [busy, access, group])).toEqual([
      [true, 'ok', null],
      [false, 'denied', 'dialout'],
    ]);
    expect(portsTable(ports)).toBe(
      [
        'port          vid:pid    serial number  adapter  likely chip  state',
        '/dev/ttyUSB0  10c4:ea60  –              CP210x   any          in use by minicom, pid 812',
        '/dev/ttyUSB1  1a86:7523  –              CH340    any          permission denied: join the group dialout',
      ].join('\n'),
    );
  });

  it('are listed by aiot board ports', async () => {
    const { code, json } = await runCli(['board', 'ports', '--json']);
    expect(code).toBe(0);
    expect(portSchema.array().parse(json)).toEqual(json);
    expect((await runCli(['board', 'ports'])).stdout).toMatch(/^(port |No serial ports)/);
  });

  it('are listed by a command that accepts no arguments', async () => {
    expect(await runCli(['board', 'ports', '/dev/ttyUSB0'])).toMatchObject({ code: 2 });
  });
});

describe('the selected port', () => {
  it('is the specified one, whatever is connected', async () => {
    expect(await choosePort('socket://127.0.0.1:5555', systems.linux)).toBe('socket://127.0.0.1:5555');
  });

  it('is the only one that can have a board', async () => {
    const one = systemOf(async () => [
      { ...port('/dev/ttyS0', '', ''), kind: 'onboard', usb: null },
      port('/dev/ttyUSB4', '10c4', 'ea60'),
    ]);
    expect(await choosePort(undefined, one)).toBe('/dev/ttyUSB4');
  });

  it('is not guessed among several', async () => {
    await expect(choosePort(undefined, systems.linux)).rejects.toMatchObject({
      code: 'AIOT_SERIAL_AMBIGUOUS',
      message:
        '3 boards are connected: /dev/ttyACM0 (USB Serial/JTAG 7C:DF:A1:E0:12:34), /dev/ttyUSB0 (CP210x 0001), /dev/ttyUSB1 (FT2232)',
      next: expect.stringContaining('--port /dev/ttyACM0'),
    });
    // Even if only one of them has a known adapter.
    const odd = systemOf(async () => [
      port('/dev/ttyUSB0', '10c4', 'ea60'),
      port('/dev/ttyACM0', '2ec2', '0003'),
    ]);
    await expect(choosePort(undefined, odd)).rejects.toMatchObject({ code: 'AIOT_SERIAL_AMBIGUOUS' });
  });

  it('is missing if no port is on USB, and the error lists the other ports', async () => {
    const none = systemOf(async () => [{ ...port('/dev/ttyS0', '', ''), kind: 'onboard', usb: null }]);
    await expect(choosePort(undefined, none)).rejects.toMatchObject({
      code: 'AIOT_SERIAL_NOT_FOUND',
      message: expect.stringContaining('/dev/ttyS0'),
    });
    await expect(boardPorts(systemOf(async () => []))).rejects.toMatchObject({
      code: 'AIOT_SERIAL_NOT_FOUND',
    });
  });
});
