import { afterEach, describe, expect, it } from 'vitest';
import { AiotError } from '../../../src/lib/core/errors.js';
import { openLoader } from '../../../src/lib/flash/loader/open-loader.js';
import { resetBoard } from '../../../src/lib/flash/loader/reset.js';
import type { LineListener, SerialLine, UsbIdentity } from '../../../src/lib/flash/port/line.js';
import type { PortInfo } from '../../../src/lib/flash/port/list.js';
import { pathOfReturned, returningLine } from '../../../src/lib/flash/port/returning-line.js';
import { simulatedLine } from '../../../src/lib/flash/rom/serve.js';
import { runCli } from '../../support/cli.js';
import { defaults, noise, type TimedChip, timedChip } from '../loader/board.js';

const board: UsbIdentity = { vendorId: 0x303a, productId: 0x1001, serialNumber: '24:0A:C4:00:01:10' };

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

/** A USB port of a chip that returns under the next of `paths` each time it disappears; the last one stays. */
function usbPort({ chip, time }: TimedChip, paths: string[], options: { returns?: boolean } = {}) {
  const opened: string[] = [];
  const line = (path: string, baud: number) => {
    opened.push(path);
    const open = simulatedLine(chip, { address: path, baud });
    return new Proxy(open, {
      get: (target, name) => {
        if (name === 'usb') return board;
        const value = Reflect.get(target, name);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
  };
  const [first = '', ...later] = paths;
  let path = first;
  const leave = chip.onUnplugged(() => {
    path = later.shift() ?? path;
  });
  ends.push(leave);
  const returning = returningLine(line(first, 115_200), {
    clock: time,
    reopen: async (baud) => {
      if (chip.isAbsent || options.returns === false)
        throw new AiotError('AIOT_SERIAL_NOT_FOUND', `no serial port at ${path}`);
      return line(path, baud);
    },
  });
  return { line: returning, opened };
}

const heard = (line: SerialLine) => {
  const events: string[] = [];
  const listener: LineListener = {
    data: () => undefined,
    closed: (error) => events.push(error ? error.message : 'closed'),
  };
  ends.push(line.listen(listener));
  return events;
};

describe('a board whose USB port disappears at each reset', () => {
  it.each([
    ['the same path', ['/dev/ttyACM0']],
    ['another path', ['/dev/ttyACM0', '/dev/ttyACM1']],
  ])('is flashed when it returns under %s', async (_name, paths) => {
    const timed = timedChip({
      chip: 'esp32s3',
      bridge: 'usb-jtag',
      boot: 'run',
      faults: [{ kind: 're-enumerate' }],
    });
    ends.push(timed.time.start());
    const { line, opened } = usbPort(timed, paths);
    const data = noise(20_000);
    const loader = await openLoader(line, { ...defaults, clock: timed.time });
    expect(loader.stub).toBe(true);
    await loader.write([{ name: 'app', offset: 0x1_0000, data }]);
    await loader.end();
    expect(Buffer.from(timed.chip.flash.bytes.subarray(0x1_0000, 0x1_0000 + data.length)).equals(data)).toBe(
      true,
    );
    expect(opened.slice(0, 2)).toEqual([paths[0], paths.at(-1)]);
  });

  it('fails within a bound if it does not return', async () => {
    const timed = timedChip({
      chip: 'esp32c3',
      bridge: 'usb-jtag',
      boot: 'run',
      faults: [{ kind: 're-enumerate' }],
    });
    ends.push(timed.time.start());
    const { line } = usbPort(timed, ['/dev/ttyACM0'], { returns: false });
    const failure = openLoader(line, { ...defaults, clock: timed.time });
    await expect(failure).rejects.toMatchObject({
      code: 'AIOT_SERIAL_LOST',
      message: expect.stringContaining('did not return within 5 s'),
    });
    expect(timed.time.now()).toBeLessThan(8000);
  });

  it('keeps its listeners when its program is restarted', async () => {
    const timed = timedChip({
      chip: 'esp32c3',
      bridge: 'usb-jtag',
      boot: 'run',
      faults: [{ kind: 're-enumerate' }],
    });
    ends.push(timed.time.start());
    const { line, opened } = usbPort(timed, ['/dev/ttyACM0', '/dev/ttyACM3']);
    const events = heard(line);
    await resetBoard(line, 'hard-reset', timed.time);
    await timed.time.sleep(1000);
    expect(opened).toEqual(['/dev/ttyACM0', '/dev/ttyACM3']);
    expect(events).toEqual([]);
    expect(timed.chip.isAbsent).toBe(false);
  });

  it('is lost if its cable is unplugged while it is written', async () => {
    const timed = timedChip({
      chip: 'esp32s3',
      bridge: 'usb-jtag',
      boot: 'run',
      faults: [{ kind: 're-enumerate' }, { kind: 'unplugged', op: 0x03, after: 2 }],
    });
    ends.push(timed.time.start());
    const { line, opened } = usbPort(timed, ['/dev/ttyACM0']);
    const loader = await openLoader(line, { ...defaults, clock: timed.time });
    const before = opened.length;
    const written = loader.write([{ name: 'app', offset: 0, data: noise(100_000) }]);
    await expect(written).rejects.toMatchObject({ code: 'AIOT_SERIAL_LOST' });
    expect(opened).toHaveLength(before);
    await loader.end();
  });

  it('is described and run by the commands', { timeout: 30_000 }, async () => {
    const port = 'simulated:esp32c3?fault=re-enumerate';
    const { stdout, code } = await runCli(['board', 'info', '--port', port, '--json']);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ chip: 'esp32c3' });
  });
});

describe('the path under which a board returns', () => {
  const port = (
    path: string,
    serialNumber: string | null,
    productId = '1001',
  ): Pick<PortInfo, 'path' | 'usb'> => ({
    path,
    usb: { vendorId: '303a', productId, serialNumber, interface: 0 },
  });
  const was = '/dev/ttyACM0';
  const own = board.serialNumber;
  it.each([
    ['is the former one', [port(was, own)], was],
    ['is that of its serial number', [port('/dev/ttyACM2', own)], '/dev/ttyACM2'],
    [
      'is not that of another board in its place',
      [port(was, 'AA'), port('/dev/ttyACM2', own)],
      '/dev/ttyACM2',
    ],
    ['is unknown while another board has its place', [port(was, 'AA')], null],
    ['is the former one if its USB device changes with its mode', [port(was, '0', '0009')], was],
    ['is the former one if the port reports no serial number', [port(was, null)], was],
    ['is unknown while no port is there', [], null],
  ])('%s', (_name, ports, path) => {
    expect(pathOfReturned(was, board, ports)).toBe(path);
  });
});
