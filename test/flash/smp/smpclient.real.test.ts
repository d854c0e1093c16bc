import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { decodeSmp, encodeLines, encodeSmp, LineDecoder } from '../../../src/lib/flash/smp/packet.js';
import { SimulatedMcuboot, simulatedImage } from '../../../src/lib/flash/smp/simulated.js';
import { describeReal, python } from '../../support/real.js';
import { serveConsole, serveUdp } from '../../support/smp-server.js';

/** PyPI's smpclient updates the simulated board, and the library smp reads and writes the same packets. */
describeReal('mcuboot', 'SMP compared with smp and smpclient', () => {
  const folder = mkdtempSync(join(tmpdir(), 'aiot-smp-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const at = (name: string) => join(folder, name);
  writeFileSync(at('new.bin'), simulatedImage('2.3.4'));

  const py = (script: string, ...args: string[]) =>
    new Promise<{ stdout: string; stderr: string; code: number | null }>((resolve) => {
      const child = spawn(python('mcuboot'), ['-c', script, ...args], { timeout: 60_000 });
      let [stdout, stderr] = ['', ''];
      child.stdout.on('data', (text) => {
        stdout += text;
      });
      child.stderr.on('data', (text) => {
        stderr += text;
      });
      child.on('close', (code) => resolve({ stdout, stderr, code }));
    });

  it('lets smpclient install an image over UDP', async () => {
    const device = new SimulatedMcuboot();
    const server = await serveUdp(device);
    const { stdout, stderr, code } = await py(
      update,
      'udp',
      '127.0.0.1',
      String(server.number),
      at('new.bin'),
    );
    await server.close();
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout.trim().split('\n')).toEqual(expectedSteps);
    expect(device.version).toBe('2.3.4');
    device.start();
    expect(device.version).toBe('2.3.4');
  });

  describeReal('socat', 'over a serial port', () => {
    it('lets smpclient install an image over a serial port', async () => {
      const device = new SimulatedMcuboot({ bufferBytes: 512 });
      const server = await serveConsole(device);
      const link = at('board');
      const pty = spawn('socat', [`PTY,link=${link},raw,echo=0`, `TCP:127.0.0.1:${server.number}`]);
      try {
        for (let tries = 0; tries < 100 && !existsSync(link); tries++)
          await new Promise((resolve) => setTimeout(resolve, 50));
        const { stdout, stderr, code } = await py(update, 'serial', link, '0', at('new.bin'));
        expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
        expect(stdout.trim().split('\n')).toEqual(expectedSteps);
        expect(device.version).toBe('2.3.4');
      } finally {
        pty.kill();
        await server.close();
      }
    });
  });

  it('reads the packets of smp, and smp reads ours', () => {
    const judge = (...args: string[]) => {
      const { stdout, stderr, status } = spawnSync(python('mcuboot'), ['-c', codec, ...args], {
        encoding: 'utf8',
      });
      if (status !== 0) throw new Error(stderr);
      return JSON.parse(stdout) as Record<string, string>;
    };
    const theirs = judge();
    for (const [name, hexes] of Object.entries(theirs)) {
      const [frame, lines] = hexes.split(' ').map((text) => Buffer.from(text, 'hex'));
      const packet = decodeSmp(frame!);
      expect({ name, again: Buffer.from(encodeSmp(packet)).toString('hex').length }).toEqual({
        name,
        again: frame!.toString('hex').length,
      });
      expect(Buffer.from(encodeLines(frame!)).equals(lines!)).toBe(true);
      expect(new LineDecoder().push(lines!).map((one) => Buffer.from(one))).toEqual([frame]);
    }
    const upload = encodeSmp({
      ...{ op: 2, version: 1, group: 1, id: 1, sequence: 7 },
      body: {
        image: 0,
        len: 900,
        off: 0,
        sha: new Uint8Array(32).fill(5),
        data: new Uint8Array(400).fill(9),
      },
    });
    expect(judge(Buffer.from(upload).toString('hex'))).toEqual({
      len: 900,
      off: 0,
      image: 0,
      data: 400,
      sequence: 7,
    });
  });
});

const expectedSteps = [
  'echo hello',
  'list [(0, "1.0.0", True, True)]',
  'uploaded',
  'list [(0, "1.0.0", True, True), (1, "2.3.4", False, False)]',
  'pending 1',
  'list [(0, "2.3.4", True, False), (1, "1.0.0", False, True)]',
  'list [(0, "2.3.4", True, True), (1, "1.0.0", False, False)]',
  'shell Zephyr version 4.2.0',
  'error IMAGE_SETTING_TEST_TO_ACTIVE_DENIED',
];

/** Updates a board with smpclient. Arguments: transport, address, port, image. */
const update = `
import asyncio, sys
from smpclient import SMPClient
from smpclient.generics import success
from smpclient.requests.image_management import ImageStatesRead, ImageStatesWrite
from smpclient.requests.os_management import EchoWrite, ResetWrite
from smpclient.requests.shell_management import Execute
from smpclient.transport.udp import SMPUDPTransport
from smpclient.transport.serial import SMPSerialTransport
kind, address, port, image = sys.argv[1:]

class Udp(SMPUDPTransport):
    async def connect(self, address, timeout_s):
        await super().connect(address, timeout_s, int(port))

def shown(images):
    rows = ', '.join(f'({i.slot}, "{i.version}", {bool(i.active)}, {bool(i.confirmed)})' for i in images)
    print(f'list [{rows}]')

async def main():
    transport = Udp() if kind == 'udp' else SMPSerialTransport()
    async with SMPClient(transport, address) as client:
        async def must(request):
            response = await client.request(request)
            assert success(response), response
            return response
        print('echo', (await must(EchoWrite(d='hello'))).r)
        shown((await must(ImageStatesRead())).images)
        async for _ in client.upload(open(image, 'rb').read()):
            pass
        print('uploaded')
        images = (await must(ImageStatesRead())).images
        shown(images)
        new = images[1].hash
        print('pending', sum(bool(i.pending) for i in (await must(ImageStatesWrite(hash=new))).images))
        await must(ResetWrite())
        # The board resets some time after its answer.
        await asyncio.sleep(1)
        shown((await must(ImageStatesRead())).images)
        shown((await must(ImageStatesWrite(confirm=True))).images)
        print('shell', (await must(Execute(argv=['kernel', 'version']))).o.strip())
        refused = await client.request(ImageStatesWrite(hash=new))
        print('error', refused.err.rc.name)

asyncio.run(main())
`;

/** Prints packets of smp as JSON, or the fields of the upload packet in the argument. */
const codec = `
import json, sys
from smp import packet
from smp.image_management import ImageStatesReadRequest, ImageStatesWriteRequest, ImageUploadWriteRequest
from smp.os_management import EchoWriteRequest, ResetWriteRequest
from smp.shell_management import ExecuteRequest
if len(sys.argv) > 1:
    found = ImageUploadWriteRequest.loads(bytes.fromhex(sys.argv[1]))
    print(json.dumps({'len': found.len, 'off': found.off, 'image': found.image, 'data': len(found.data), 'sequence': found.header.sequence}))
else:
    requests = {
        'echo': EchoWriteRequest(d='a text'),
        'reset': ResetWriteRequest(),
        'list': ImageStatesReadRequest(),
        'test': ImageStatesWriteRequest(hash=bytes(range(32))),
        'upload': ImageUploadWriteRequest(off=0, data=bytes(300), len=5000, sha=bytes(32), image=0),
        'shell': ExecuteRequest(argv=['kernel', 'uptime']),
    }
    print(json.dumps({name: bytes(r.BYTES).hex() + ' ' + b''.join(packet.encode(bytes(r.BYTES))).hex() for name, r in requests.items()}))
`;
