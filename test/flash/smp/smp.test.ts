import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { SmpClient, smpError } from '../../../src/lib/flash/smp/client.js';
import { decodeSmp, encodeLines, encodeSmp, LineDecoder, smpOps } from '../../../src/lib/flash/smp/packet.js';
import { parseUdp } from '../../../src/lib/flash/smp/port.js';
import { SimulatedMcuboot, simulatedImage } from '../../../src/lib/flash/smp/simulated.js';
import { parseMcubootVersion, writeMcuboot } from '../../../src/lib/formats/mcuboot.js';
import { runCli } from '../../support/cli.js';
import { fc, runs } from '../../support/property.js';
import { type Loss, type SmpServer, serveConsole, serveUdp } from '../../support/smp-server.js';

const folder = mkdtempSync(join(tmpdir(), 'aiot-smp-'));
const at = (name: string) => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const servers: SmpServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
});
const served = async (server: Promise<SmpServer>) => {
  servers.push(await server);
  return servers.at(-1)!.port;
};

const trusted = generateKeyPairSync('ed25519');
const stranger = generateKeyPairSync('ed25519');

function imageOf(version: string, key = trusted.privateKey, bytes = 20_000): Uint8Array {
  return writeMcuboot(Buffer.alloc(bytes, `program ${version} `), {
    version: parseMcubootVersion(version),
    headerBytes: 0x200,
    padHeader: true,
    slotBytes: 0x100000,
    key,
  });
}

const file = (version: string, ...rest: [key?: typeof trusted.privateKey, bytes?: number]) => {
  const path = at(`${version}-${rest.length}.bin`);
  writeFileSync(path, imageOf(version, ...rest));
  return path;
};

const board = (options: ConstructorParameters<typeof SimulatedMcuboot>[0] = {}) =>
  new SimulatedMcuboot({ key: trusted.publicKey, image: imageOf('1.0.0'), ...options });

/** Fast timing, so that a silent board is noticed quickly. */
const quick = ['--timeout', '100ms'];
const commands = {
  list: ['board', 'image', 'list'],
  upload: ['board', 'image', 'upload'],
  test: ['board', 'image', 'test'],
  confirm: ['board', 'image', 'confirm'],
  erase: ['board', 'image', 'erase', '--yes'],
  install: ['board', 'image', 'install'],
};

const image = async (verb: keyof typeof commands, ...args: string[]) => {
  const result = await runCli([...commands[verb], ...args, ...quick, '--json']);
  // With --json, errors are on stdout.
  return { ...result, stderr: `${result.stdout}${result.stderr}` };
};
const install = (path: string, port: string, ...args: string[]) =>
  image('install', path, '--port', port, '--soak', '0s', '--restart', '2s', ...args);

/** Loses each packet whose number is a multiple of `lost`, and doubles those of `doubled`. */
function lossy(lost: number, doubled: number): Loss {
  let count = 0;
  return () => {
    count++;
    return count % lost === 0 ? 0 : count % doubled === 0 ? 2 : 1;
  };
}

/** A board with two images, each of which is on a simulated board. Requests that name an image or its hash go to that one. */
function twoImages(devices: readonly [SimulatedMcuboot, SimulatedMcuboot]): SimulatedMcuboot {
  let target = devices[0];
  const handle = (packet: Uint8Array): Uint8Array | null => {
    const request = decodeSmp(packet);
    const { hash, image: number } = request.body;
    if (request.group === 0) return devices.map((device) => device.handle(packet))[0]!;
    if (request.id === 1) {
      if (number === undefined) return target.handle(packet);
      target = devices[number === 1 ? 1 : 0];
      return target.handle(encodeSmp({ ...request, body: { ...request.body, image: 0 } }));
    }
    const images: object[] = [];
    for (const [index, device] of devices.entries()) {
      const read = device.handle(encodeSmp({ ...request, op: smpOps.read, body: {} }));
      if (read === null) return null;
      let own = decodeSmp(read).body.images as { hash: Uint8Array }[];
      const wanted =
        hash instanceof Uint8Array
          ? own.some((entry) => Buffer.compare(entry.hash, hash) === 0)
          : index === 0;
      if (request.op === smpOps.write && wanted)
        own = decodeSmp(device.handle(packet)!).body.images as typeof own;
      images.push(...own.map((entry) => ({ ...entry, image: index })));
    }
    const op = request.op === smpOps.read ? smpOps.readResponse : smpOps.writeResponse;
    return encodeSmp({ ...request, op, body: { images } });
  };
  return altered(devices[0], handle);
}

describe('installing an image over SMP', () => {
  it.each([
    ['UDP', serveUdp],
    ['a serial console with log output', serveConsole],
  ])('uploads, tests, resets, checks and confirms over %s', async (_what, serve) => {
    const device = board();
    const port = await served(serve(device));
    const { code, json } = await install(file('2.0.0+5'), port);
    expect({ code, json }).toMatchObject({
      code: 0,
      json: { outcome: 'installed', before: '1.0.0', version: '2.0.0+5', resumedAt: 0 },
    });
    device.start();
    expect(device.version).toBe('2.0.0+5');
    expect((await image('list', '--port', port)).json).toMatchObject([
      { slot: 0, version: '2.0.0+5', active: true, confirmed: true },
      { slot: 1, version: '1.0.0', active: false, pending: false },
    ]);
    expect((await install(file('2.0.0+5'), port)).json).toMatchObject({
      outcome: 'already-running',
      uploadedBytes: 0,
    });
  });

  it('reports the automatic revert of an image that crashes', async () => {
    const device = board({ crashing: ['2.0.0'] });
    const port = await served(serveUdp(device));
    const { code, stderr } = await install(file('2.0.0'), port);
    expect({ code, stderr }).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('AIOT_FLASH_UNHEALTHY'),
    });
    expect(stderr).toContain('MCUboot reverted to 1.0.0');
    expect(device.events).toEqual([
      'started 1.0.0',
      'swapped',
      'started 2.0.0',
      'the program crashed',
      'reverted',
      'started 1.0.0',
    ]);
  });

  it('reports an image that the bootloader rejects, because another key signed it', async () => {
    const device = board();
    const port = await served(serveUdp(device));
    const { code, stderr } = await install(file('2.0.0', stranger.privateKey), port);
    expect({ code, stderr }).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('MCUboot rejected version 2.0.0'),
    });
    expect(device.version).toBe('1.0.0');
    device.start();
    expect(device.version).toBe('1.0.0');
  });

  it('leaves an image on trial with --no-confirm, which the next reset reverts', async () => {
    const device = board();
    const port = await served(serveUdp(device));
    const path = file('2.0.0');
    expect((await install(path, port, '--no-confirm')).json).toMatchObject({ outcome: 'on-trial' });
    expect(device.version).toBe('2.0.0');
    // While an image is on trial, the other slot contains the image for a rollback.
    const second = await image('upload', file('3.0.0'), '--port', port);
    expect(second).toMatchObject({ code: 1, stderr: expect.stringContaining('AIOT_SMP_STATE') });
    expect((await runCli(['board', 'reset', '--port', port, '--json'])).json).toMatchObject({
      answers: true,
    });
    expect(device.version).toBe('1.0.0');
  });

  it('survives lost and repeated packets', async () => {
    const device = board();
    let count = 0;
    const port = await served(
      serveUdp(device, () => {
        count++;
        return count % 7 === 0 ? 0 : count % 5 === 0 ? 2 : 1;
      }),
    );
    const { code, json } = await install(file('2.0.0'), port);
    expect({ code, json }).toMatchObject({ code: 0, json: { outcome: 'installed' } });
    expect(device.version).toBe('2.0.0');
  });

  it('ends with a running board wherever the power fails, and installs on repetition', async () => {
    // An upload of 20 KB takes about 23 operations, and the swap 64.
    const path = file('2.0.0');
    for (let operations = 0; operations < 90; operations += 9) {
      const device = board({ resetDelayMs: 20, startMs: 20 });
      device.powerFailsIn = operations;
      const port = await served(serveUdp(device));
      let result = await install(path, port);
      if (result.code !== 0) {
        if (!device.alive) device.start();
        expect(['1.0.0', '2.0.0']).toContain(device.version);
        result = await install(path, port);
      }
      expect(result.code).toBe(0);
      device.start();
      expect(device.version).toBe('2.0.0');
    }
  });
});

/** A board that handles packets with a function of the test. */
const altered = (device: SimulatedMcuboot, handle: (bytes: Uint8Array) => Uint8Array | null) =>
  Object.assign(Object.create(device) as SimulatedMcuboot, { handle });
const isReset = (bytes: Uint8Array) => {
  const { group, id } = decodeSmp(bytes);
  return group === 0 && id === 5;
};

describe('a board that restarts some time after its answer', () => {
  it('is watched until it has restarted, whichever image answers meanwhile', async () => {
    const device = board({ resetDelayMs: 600 });
    const port = await served(serveUdp(device));
    expect((await install(file('2.0.0'), port)).json).toMatchObject({ outcome: 'installed' });
    expect(device.events).toEqual(['started 1.0.0', 'swapped', 'started 2.0.0']);
  });

  it('is reported if it does not restart', async () => {
    const device = board({ resetDelayMs: 60_000 });
    const port = await served(serveUdp(device));
    const timing = ['--soak', '0s', '--restart', '300ms'];
    const { code, stderr } = await image('install', file('2.0.0'), '--port', port, ...timing);
    expect({ code, stderr }).toMatchObject({ code: 1, stderr: expect.stringContaining('AIOT_SMP_FAILED') });
    expect(stderr).toContain('did not restart within 0.3 s');
  });

  it('receives the reset request again if it was lost', async () => {
    const device = board();
    let resets = 0;
    const lossy = altered(device, (bytes) =>
      isReset(bytes) && resets++ === 0 ? null : device.handle(bytes),
    );
    const { json } = await install(file('2.0.0'), await served(serveUdp(lossy)));
    expect(json).toMatchObject({ outcome: 'installed' });
    expect(resets).toBeGreaterThan(1);
  });

  it('has restarted when `aiot board reset` ends', async () => {
    const device = board();
    const port = await served(serveUdp(device));
    const { json } = await runCli(['board', 'reset', '--port', port, '--json']);
    expect(json).toMatchObject({ answers: true });
    expect(device.events).toEqual(['started 1.0.0', 'started 1.0.0']);
  });
});

describe('a board with several images', () => {
  /** Image 0 belongs to another core; the simulated slots are those of image 1. */
  const second = (device: SimulatedMcuboot) =>
    altered(device, (bytes) => {
      const packet = decodeSmp(bytes);
      if (packet.body.image !== undefined && packet.body.image !== 1) throw new Error('another image');
      const response = device.handle(encodeSmp({ ...packet, body: { ...packet.body, image: 0 } }));
      if (response === null) return null;
      const answer = decodeSmp(response);
      if (!Array.isArray(answer.body.images)) return response;
      const other = { slot: 0, version: '9.9.9', hash: new Uint8Array(32), active: true, confirmed: true };
      const own = (answer.body.images as object[]).map((entry) => ({ ...entry, image: 1 }));
      return encodeSmp({ ...answer, body: { images: [{ ...other, image: 0 }, ...own] } });
    });

  it('gets the image with the number of --image', async () => {
    const device = board();
    const port = await served(serveUdp(second(device)));
    const { code, json } = await install(file('2.0.0'), port, '--image', '1');
    expect({ code, json }).toMatchObject({ code: 0, json: { outcome: 'installed', before: '1.0.0' } });
    device.start();
    expect(device.version).toBe('2.0.0');
  });

  it('rejects the number of an image that it does not have', async () => {
    const device = board();
    const { stderr } = await install(file('2.0.0'), await served(serveUdp(device)), '--image', '3');
    expect(stderr).toContain('AIOT_SMP_STATE');
    expect(device.version).toBe('1.0.0');
  });
});

describe('an upload', () => {
  /** Uploads 4000 bytes to a board that answers the n-th chunk with these fields. */
  const upload = (answer: (body: Record<string, unknown>, count: number) => Record<string, unknown>) => {
    let listener: (packet: Uint8Array) => void = () => {};
    let count = 0;
    const client = new SmpClient({
      address: 'board',
      mostBytes: 1024,
      window: 4,
      send: async (bytes) => {
        const packet = decodeSmp(bytes);
        const body = packet.group === 0 ? { buf_size: 512, buf_count: 1 } : answer(packet.body, count++);
        setImmediate(() => listener(encodeSmp({ ...packet, op: packet.op + 1, body } as typeof packet)));
      },
      onPacket: (added) => {
        listener = added;
      },
      close: async () => {},
    });
    return client.upload(new Uint8Array(4000));
  };
  const next = ({ off, data }: Record<string, unknown>) => Number(off) + (data as Uint8Array).length;

  it('ends if the board always asks for the start again', async () => {
    const error = upload((body, count) => ({ off: count % 2 === 0 ? next(body) : 0 }));
    await expect(error).rejects.toMatchObject({
      code: 'AIOT_SMP_FAILED',
      message: expect.stringContaining('does not advance'),
    });
  });

  it('fails if the slot contains different bytes', async () => {
    const error = upload((body) => ({ off: next(body), ...(next(body) === 4000 ? { match: false } : {}) }));
    await expect(error).rejects.toMatchObject({
      code: 'AIOT_SMP_FAILED',
      message: expect.stringContaining('SHA-256'),
    });
    expect(await upload((body) => ({ off: next(body), match: true }))).toMatchObject({ bytes: 4000 });
  });
});

describe('the images of a board', () => {
  it('are uploaded, tested and confirmed in single steps', async () => {
    const device = board();
    const port = await served(serveUdp(device));
    const { json } = await image('upload', file('2.0.0'), '--port', port);
    const { hash } = json as { hash: string };
    const tested = await image('test', hash.slice(0, 8), '--port', port);
    expect(tested.json).toMatchObject({ images: [{ active: true }, { version: '2.0.0', pending: true }] });
    await runCli(['board', 'reset', '--port', port]);
    const shown = await runCli(['board', 'image', 'list', '--port', port, ...quick, '--no-color']);
    expect(shown.stdout).toContain('on trial: confirm it');
    expect((await image('confirm', '--port', port)).json).toMatchObject({
      images: [{ confirmed: true }, {}],
    });
    expect((await image('erase', '--port', port)).json).toMatchObject({ images: [{ version: '2.0.0' }] });
  });

  it('are resumed where an interrupted upload stopped', async () => {
    const device = board();
    const bytes = imageOf('2.0.0');
    const packet = (body: Record<string, unknown>) =>
      encodeSmp({ op: smpOps.write, version: 1, group: 1, id: 1, sequence: 1, body });
    const { createHash } = await import('node:crypto');
    const sha = new Uint8Array(createHash('sha256').update(bytes).digest());
    device.handle(packet({ image: 0, len: bytes.length, sha, off: 0, data: bytes.slice(0, 4000) }));
    const { json } = await image('upload', file('2.0.0'), '--port', await served(serveUdp(device)));
    expect(json).toMatchObject({ resumedAt: 4000, bytes: bytes.length });
  });

  it('are not erased without confirmation', async () => {
    const { code, stderr } = await runCli(['board', 'image', 'erase', '--port', 'simulated:mcuboot']);
    expect({ code, stderr }).toMatchObject({ code: 2, stderr: expect.stringContaining('--yes') });
  });

  it.each([
    ['an unknown hash', ['test', 'abcdef12'], 4, 'AIOT_SMP_NOT_FOUND'],
    ['text instead of a hash', ['test', 'latest'], 2, 'AIOT_USAGE'],
    ['a slot that does not exist', ['erase', '--slot', '7'], 4, 'AIOT_SMP_NOT_FOUND'],
    ['the slot of the running image', ['erase', '--slot', '0'], 1, 'AIOT_SMP_STATE'],
  ] as const)('reject %s', async (_what, [verb, ...args], code, reason) => {
    const port = await served(serveUdp(board()));
    expect(await image(verb, ...args, '--port', port)).toMatchObject({
      code,
      stderr: expect.stringContaining(reason),
    });
  });

  it('reject testing the running image again', async () => {
    const device = board();
    const port = await served(serveUdp(device));
    const { json } = await image('list', '--port', port);
    const images = json as { hash: string }[];
    const { code, stderr } = await image('test', images[0]!.hash, '--port', port);
    expect({ code, stderr }).toMatchObject({ code: 5, stderr: expect.stringContaining('AIOT_SMP_DENIED') });
  });

  it('reject an image that is too large for the slot', async () => {
    const port = await served(serveUdp(board()));
    const { code, stderr } = await image(
      'upload',
      file('2.0.0', trusted.privateKey, 300_000),
      '--port',
      port,
    );
    expect({ code, stderr }).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('AIOT_IMAGE_TOO_LARGE'),
    });
  });

  it('reject a damaged file, or one that is not an image, before anything is sent', async () => {
    writeFileSync(at('text.bin'), 'no image');
    const damaged = Buffer.from(imageOf('2.0.0'));
    damaged[0x300]! ^= 1;
    writeFileSync(at('damaged.bin'), damaged);
    for (const name of ['text.bin', 'damaged.bin']) {
      const { code, stderr } = await image('install', at(name), '--port', 'udp:127.0.0.1:9');
      expect({ code, stderr }).toMatchObject({
        code: 2,
        stderr: expect.stringContaining('AIOT_IMAGE_MALFORMED'),
      });
    }
  });

  it('reject a compressed or big-endian image before anything is sent', async () => {
    const compressed = Buffer.from(imageOf('2.0.0'));
    compressed.writeUInt32LE(0x400, 16);
    writeFileSync(at('compressed.bin'), compressed);
    const big = Buffer.from(imageOf('2.0.0'));
    big.subarray(0, 4).reverse();
    writeFileSync(at('big-endian.bin'), big);
    for (const [name, why] of [
      ['compressed.bin', 'is compressed'],
      ['big-endian.bin', 'is for a big-endian chip'],
    ] as const) {
      const { code, stderr } = await image('install', at(name), '--port', 'udp:127.0.0.1:9');
      expect({ code, stderr }).toMatchObject({
        code: 2,
        stderr: expect.stringContaining('AIOT_IMAGE_UNSUPPORTED'),
      });
      expect(stderr).toContain(why);
    }
  });

  it('are uploaded with several packets under way, even if some are lost, doubled or late', async () => {
    const path = file('2.0.0', trusted.privateKey, 60_000);
    for (const loss of [() => 1 as const, lossy(7, 5), lossy(4, 3)]) {
      const device = board();
      const { json } = await image('upload', path, '--port', await served(serveUdp(device, loss)));
      expect(json).toMatchObject({ window: 3, resumedAt: 0 });
      const uploaded = Buffer.from(imageOf('2.0.0', trusted.privateKey, 60_000));
      expect(device.flash.slots[1].subarray(0, uploaded.length).equals(uploaded)).toBe(true);
    }
    const alone = await image('upload', path, '--port', await served(serveUdp(board())), '--window', '1');
    expect(alone.json).toMatchObject({ window: 1 });
    const serial = await image('upload', path, '--port', await served(serveConsole(board())));
    expect(serial.json).toMatchObject({ window: 1 });
  });

  it('are installed by number on a board with two', async () => {
    const devices = [board(), board({ image: imageOf('5.0.0') })] as const;
    const port = await served(serveUdp(twoImages(devices)));
    const { code, json } = await install(file('6.0.0'), port, '--image', '1');
    expect({ code, json }).toMatchObject({ code: 0, json: { before: '5.0.0', outcome: 'installed' } });
    for (const device of devices) device.start();
    expect(devices.map(({ version }) => version)).toEqual(['1.0.0', '6.0.0']);
  });

  it('report a board that does not answer', async () => {
    const { code, stderr } = await image('list', '--port', 'udp:127.0.0.1:9');
    expect({ code, stderr }).toMatchObject({ code: 1, stderr: expect.stringContaining('AIOT_SMP_SILENT') });
  });
});

describe('a simulated board', () => {
  it('keeps its flash in a file', async () => {
    const state = at('board.flash');
    const port = `simulated:mcuboot?state=${state}`;
    writeFileSync(at('plain.bin'), simulatedImage('3.1.4'));
    expect((await install(at('plain.bin'), port)).json).toMatchObject({
      outcome: 'installed',
      before: '1.0.0',
    });
    expect((await image('list', '--port', port)).json).toMatchObject([{ version: '3.1.4' }, {}]);
  });

  it('has a shell and statistics', async () => {
    const shell = (command: string) =>
      runCli(['board', 'shell', command, '--port', 'simulated:mcuboot', '--json']);
    expect(await shell('kernel version')).toMatchObject({
      code: 0,
      json: { status: 0, output: expect.stringMatching(/^Zephyr/) },
    });
    expect(await shell('dance')).toMatchObject({ code: 1 });
    const { json } = await runCli(['board', 'statistics', '--port', 'simulated:mcuboot', '--json']);
    expect(json).toMatchObject({ groups: [{ name: 'smp_svr_stats', fields: { packets: 2 } }] });
  });

  it('reports an invalid image or key immediately', async () => {
    writeFileSync(at('garbage.pem'), 'garbage');
    const began = performance.now();
    const { code, stderr } = await image('list', '--port', `simulated:mcuboot?image=${at('garbage.pem')}`);
    expect({ code, stderr }).toMatchObject({ code: 2, stderr: expect.stringContaining('accepts no image') });
    expect(performance.now() - began).toBeLessThan(2000);
  });

  it('rejects an empty shell command', async () => {
    const { code, stderr } = await runCli(['board', 'shell', ' ', '--port', 'simulated:mcuboot']);
    expect({ code, stderr }).toMatchObject({ code: 2, stderr: expect.stringContaining('kernel version') });
  });

  it('rejects unknown settings', async () => {
    const { code, stderr } = await image('list', '--port', 'simulated:mcuboot?key');
    expect(code).not.toBe(0);
    expect(stderr).toContain('AIOT_');
    const other = await image('list', '--port', 'simulated:mcuboot?color=red');
    expect(other).toMatchObject({ code: 2, stderr: expect.stringContaining('with settings state, key') });
    const cut = await image('list', '--port', 'simulated:mcuboot?cut=abc');
    expect(cut).toMatchObject({ code: 2, stderr: expect.stringContaining('AIOT_USAGE') });
  });
});

describe('SMP packets', () => {
  it('survive encoding and decoding, in any pieces and among other lines', () => {
    const bodies = fc.dictionary(
      fc.string(),
      fc.oneof(fc.string(), fc.integer(), fc.boolean(), fc.uint8Array()),
    );
    fc.assert(
      fc.property(bodies, fc.integer({ min: 1, max: 50 }), fc.nat(255), (body, step, sequence) => {
        const packet = {
          op: smpOps.write,
          version: 1 as const,
          group: 1,
          id: 1,
          sequence,
          body: { ...body },
        };
        const bytes = encodeSmp(packet);
        expect(decodeSmp(bytes)).toEqual(packet);
        const stream = Buffer.concat([
          Buffer.from('log\r\n\x06log\n'),
          encodeLines(bytes),
          Buffer.from('end\n'),
        ]);
        for (const line of encodeLines(bytes).toString().split('\n')) expect(line.length).toBeLessThan(127);
        const decoder = new LineDecoder();
        const found: Uint8Array[] = [];
        for (let from = 0; from < stream.length; from += step)
          found.push(...decoder.push(stream.subarray(from, from + step)));
        expect(found.map((one) => Buffer.from(one).toString('hex'))).toEqual([
          Buffer.from(bytes).toString('hex'),
        ]);
      }),
      { numRuns: runs(60) },
    );
  });

  it('skip a damaged packet', () => {
    const bytes = encodeSmp({ op: smpOps.read, version: 1, group: 0, id: 6, sequence: 0, body: { a: 1 } });
    const lines = Buffer.from(encodeLines(bytes));
    lines[6] = lines[6] === 0x41 ? 0x42 : 0x41;
    expect(new LineDecoder().push(lines)).toEqual([]);
  });

  it.each([
    [{ rc: 0 }, null],
    [{ rc: 8 }, 'AIOT_SMP_UNSUPPORTED'],
    [{ rc: 10 }, 'AIOT_SMP_STATE'],
    [{ rc: 5 }, 'AIOT_SMP_NOT_FOUND'],
    [{ rc: 3 }, 'AIOT_SMP_REJECTED'],
    [{ rc: 11 }, 'AIOT_SMP_DENIED'],
    [{ rc: 2 }, 'AIOT_SMP_FAILED'],
    [{ err: { group: 1, rc: 30 } }, 'AIOT_IMAGE_TOO_LARGE'],
    [{ err: { group: 1, rc: 14 } }, 'AIOT_SMP_NOT_FOUND'],
    [{ err: { group: 1, rc: 27 } }, 'AIOT_SMP_REJECTED'],
    [{ err: { group: 1, rc: 32 } }, 'AIOT_SMP_DENIED'],
    [{ err: { group: 1, rc: 12 } }, 'AIOT_SMP_FAILED'],
    [{ err: { group: 64, rc: 3 } }, 'AIOT_SMP_FAILED'],
  ])('with the return code %j mean %s', (body, code) => {
    const packet = { op: smpOps.writeResponse, version: 1 as const, group: 1, id: 1, sequence: 0, body };
    expect(smpError(packet, 'upload', 'board')?.code ?? null).toBe(code);
  });

  it.each([
    ['udp:board.local', { host: 'board.local', port: 1337 }],
    ['udp:10.0.0.2:99', { host: '10.0.0.2', port: 99 }],
    ['udp:[fe80::1]:1337', { host: 'fe80::1', port: 1337 }],
  ])('go to %s', (address, expected) => {
    expect(parseUdp(address)).toEqual(expected);
  });
});
