import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import BoardSimulate from '../../../src/commands/board/simulate.js';
import { catalogue } from '../../../src/lib/core/catalogue.js';
import { openLoader } from '../../../src/lib/flash/loader/open-loader.js';
import { openLine } from '../../../src/lib/flash/port/open-line.js';
import { SimulatedChip } from '../../../src/lib/flash/rom/chip.js';
import { parseStartFaults, startFaultNames } from '../../../src/lib/flash/rom/control.js';
import { encodeSlip } from '../../../src/lib/flash/rom/protocol.js';
import { serveChip } from '../../../src/lib/flash/rom/serve.js';
import { type ChipEvent, simulateChip } from '../../../src/lib/flash/rom/simulate.js';
import { runCli } from '../../support/cli.js';
import { defaults } from '../loader/board.js';
import { syncRequest } from './talk.js';

const undo: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
});

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'aiot-rom-'));
  undo.push(() => rm(path, { recursive: true }));
  return path;
}

/**
 * Returns the number of bytes in the response to a SYNC at this address, without boot text that is still
 * arriving.
 */
async function syncedAt(address: string): Promise<number> {
  const line = await openLine(address, { baud: 115_200 });
  let heard = Buffer.alloc(0);
  const answer = () => heard.subarray(heard.includes(0xc0) ? heard.indexOf(0xc0) : heard.length).length;
  const enough = new Promise<void>((resolve) => {
    line.listen({
      data: (bytes) => {
        heard = Buffer.concat([heard, bytes]);
        if (answer() >= 8 * 14) resolve();
      },
      closed: () => resolve(),
    });
  });
  await line.write(encodeSlip(syncRequest));
  await enough;
  await line.close();
  return answer();
}

describe('a served chip', () => {
  it.each(['socket', 'rfc2217'] as const)('answers at %s://, one client after another', async (scheme) => {
    const chip = new SimulatedChip({ chip: 'esp32c3' });
    const served = await serveChip(chip, scheme === 'socket' ? { port: 0 } : { rfc2217: 0 });
    undo.push(served.close, async () => chip.powerOff());
    expect(served.address).toMatch(new RegExp(`^${scheme}://127.0.0.1:\\d+$`));
    expect(await syncedAt(served.address)).toBe(112);
    expect(await syncedAt(served.address)).toBe(112);
  });

  it('rejects a TCP port that is in use', async () => {
    const chip = new SimulatedChip({ chip: 'esp32' });
    const served = await serveChip(chip, { port: 0 });
    undo.push(served.close, async () => chip.powerOff());
    const port = Number(served.address.split(':').at(-1));
    await expect(serveChip(chip, { port })).rejects.toMatchObject({ code: 'AIOT_PORT_IN_USE' });
  });
});

/** Returns the address of a chip that `aiot board simulate` serves with this fault until the test ends. */
async function servedWith(fault: string): Promise<string> {
  const stop = new AbortController();
  return await new Promise((resolve, reject) => {
    const done = simulateChip({
      ...{ chip: 'esp32s3', listen: 'socket://127.0.0.1:0', boot: 'download', faults: [fault] },
      signal: stop.signal,
      onEvent: (event) => {
        if (event.event === 'serving') resolve(event.port);
      },
    });
    undo.push(async () => {
      stop.abort();
      await done;
    });
    done.catch(reject);
  });
}

describe('aiot board simulate', () => {
  it('serves a chip with a control channel, reports its states, and saves its flash to a file', async () => {
    const file = join(await folder(), 'board.bin');
    await writeFile(file, Buffer.alloc(0x100000, 0x5a));
    const events: ChipEvent[] = [];
    const stop = new AbortController();
    const serving = new Promise<{ port: string; control: string | null }>((resolve, reject) => {
      const done = simulateChip({
        ...{ chip: 'esp32s3', listen: 'socket://127.0.0.1:0', boot: 'download', faults: [], control: 0 },
        ...{ flashFile: file, signal: stop.signal },
        onEvent: (event) => {
          events.push(event);
          if (event.event === 'serving') resolve(event);
        },
      });
      undo.push(async () => {
        stop.abort();
        await done;
      });
      done.catch(reject);
    });
    const { port, control } = await serving;
    expect(await syncedAt(port)).toBe(112);
    const socket = connect(Number(control?.split(':')[1]), '127.0.0.1');
    socket.write('boot run\nreset\nexplode\n');
    let answers = '';
    while (answers.split('\n').length < 4) answers += String((await once(socket, 'data'))[0]);
    socket.destroy();
    expect(answers).toMatch(
      /^boot run at the next reset\nesp32s3 [0-9a-f:]+ program .*\nerror: unknown control line "explode"\n$/,
    );
    await undo.pop()?.();
    expect(events.slice(1)).toEqual([
      { event: 'state', state: 'program' },
      { event: 'saved', file, bytes: 0x100000 },
    ]);
    expect((await readFile(file)).equals(Buffer.alloc(0x100000, 0x5a))).toBe(true);
  });

  it.each([
    ['secure-boot', { secureBoot: true }],
    ['flash-encryption', { flashEncryption: true }],
    ['secure-download', { secureDownload: true }],
  ])('simulates a chip with %s enabled', async (fault, security) => {
    const port = await servedWith(fault);
    const loader = await openLoader(await openLine(port, { baud: 115_200 }), { ...defaults, baud: 115_200 });
    expect(loader.chip.security).toMatchObject(security);
    await loader.end();
  });

  it('simulates a chip without download mode', async () => {
    const chip = new SimulatedChip({
      chip: 'esp32',
      ...parseStartFaults([' no-download ', 'noise rate=0.5']),
    });
    expect(chip.state).toBe('crashed');
    expect(chip.faults.list()).toEqual([{ kind: 'noise', rate: 0.5 }]);
  });

  it('lists every startup fault in its help and its documentation page', async () => {
    const page = await readFile('docs/reference/chip-faults.md', 'utf8');
    for (const name of startFaultNames) {
      expect(BoardSimulate.flags.fault.summary).toContain(name);
      expect(page).toContain(`\`${name}`);
    }
    for (const [code] of page.matchAll(/AIOT_\w+/g)) expect(Object.keys(catalogue)).toContain(code);
  });

  it('runs from the command line for the given duration', async () => {
    const { code, stdout } = await runCli([
      ...['board', 'simulate', '--chip', 'esp32c3', '--listen', 'socket://127.0.0.1:0'],
      ...['--for', '1s', '--json'],
    ]);
    expect(code).toBe(0);
    expect(JSON.parse(stdout.split('\n')[0] ?? '')).toMatchObject({
      event: 'serving',
      chip: 'esp32c3',
      control: null,
    });
  });

  it.each([
    [['--listen', 'com1'], /expected pty, socket:/],
    [['--fault', 'gremlins'], /expected one of noise.*, secure-boot/],
    [['--fault', 'secure-boot after=2'], /omit after=2/],
    [['devices/x'], /unexpected argument: devices\/x/],
    [['--listen', 'socket://127.0.0.1:0', '--mac', 'x'], /not a MAC/],
  ])('rejects %o', async (argv, message) => {
    const { code, stderr } = await runCli(['board', 'simulate', ...argv]);
    expect(code).toBe(2);
    expect(stderr).toMatch(message);
  });
});
