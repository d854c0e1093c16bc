import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { describeReal } from '../support/real.js';

/** Runs a program asynchronously, because the server is in this process. */
async function run(program: string, args: string[], input = '') {
  return new Promise<{ code: number; out: string }>((resolve) => {
    const child = execFile(program, args, { timeout: 60_000 }, (error, stdout, stderr) => {
      resolve({ code: error ? Number(error.code ?? 1) : 0, out: stdout + stderr });
    });
    child.stdin?.end(input);
  });
}

let own: TestPlatform;
const start = async () => {
  own = await testPlatform();
  const out = join(own.folder, 'motor-1');
  await provisionDevice({ client: own.client, name: 'motor-1', type: 'virtual', out });
};

describeReal('mosquitto', 'Mosquitto’s clients with the embedded broker', () => {
  const at = () => {
    const { hostname, port } = new URL(own.platform.urls.mqtts);
    return ['-h', hostname, '-p', port, '--cafile', own.platform.ca];
  };
  const certificate = () => [
    '--cert',
    join(own.folder, 'motor-1/device.crt'),
    '--key',
    join(own.folder, 'motor-1/device.key'),
  ];
  beforeAll(start);
  afterAll(() => own.stop());

  it('publish at QoS 1 with the device’s certificate, and the messages are stored', async () => {
    const lines = Array.from({ length: 50 }, (_, seq) =>
      JSON.stringify({ seq, t: seq, rate: 10, recording: 'r', x: seq }),
    );
    const result = await run(
      'mosquitto_pub',
      [...at(), ...certificate(), '-q', '1', '-l', '-t', 'aiot/v1/motor-1/telemetry/imu'],
      `${lines.join('\n')}\n`,
    );
    expect(result).toEqual({ code: 0, out: '' });
    expect((await own.client.datasets.get('imu')).recordings).toMatchObject([
      { samples: 50, missing: 0, duplicates: 0 },
    ]);
  });

  it('are cut off on another device’s topic', async () => {
    const topic = 'aiot/v1/motor-2/telemetry/imu';
    const { code } = await run('mosquitto_pub', [
      ...at(),
      ...certificate(),
      '-q',
      '1',
      '-t',
      topic,
      '-m',
      '{"x":1}',
    ]);
    expect(code).not.toBe(0);
  });

  it('are rejected without a certificate', async () => {
    const { code, out } = await run('mosquitto_pub', [...at(), '-q', '1', '-t', 'x', '-m', 'x']);
    expect([code, out]).toEqual([4, expect.stringMatching(/bad user name or password/i)]);
  });

  it('receive a retained message as an operator', async () => {
    const as = [...at(), '-u', 'operator', '-P', own.token];
    expect((await run('mosquitto_pub', [...as, '-q', '1', '-r', '-t', 'sensors/1', '-m', '21.5'])).code).toBe(
      0,
    );
    const heard = await run('mosquitto_sub', [...as, '-t', 'sensors/#', '-C', '1', '-W', '30', '-v']);
    expect(heard).toEqual({ code: 0, out: 'sensors/1 21.5\n' });
  });
});

describeReal('openssl', 'TLS, tested with OpenSSL', () => {
  beforeAll(start);
  afterAll(() => own.stop());
  const client = async (url: string, ...args: string[]) => {
    const { host } = new URL(url);
    return run('openssl', [
      's_client',
      '-connect',
      host,
      '-CAfile',
      own.platform.ca,
      '-verify_return_error',
      ...args,
    ]);
  };

  it.each(['http', 'mqtts'] as const)('has a chain that verifies on the %s listener', async (which) => {
    const { out } = await client(own.platform.urls[which], '-verify_ip', '127.0.0.1');
    expect(out).toContain('Verify return code: 0 (ok)');
    expect(out).toMatch(/TLSv1\.3/);
  });

  it('rejects TLS 1.1', async () => {
    const { out } = await client(own.platform.urls.mqtts, '-tls1_1', '-cipher', 'DEFAULT@SECLEVEL=0');
    expect(out).toContain('alert protocol version');
    expect(out).toContain('no peer certificate available');
  });
});

describeReal('curl', 'curl', () => {
  beforeAll(start);
  afterAll(() => own.stop());

  it('reads the API with the CA, but not without it', async () => {
    const url = `${own.platform.urls.http}/api/v1/status`;
    const header = `authorization: Bearer ${own.token}`;
    const { code, out } = await run('curl', ['-sS', '--cacert', own.platform.ca, '-H', header, url]);
    expect([code, JSON.parse(out).counts.devices]).toEqual([0, 1]);
    expect((await run('curl', ['-sS', '-H', header, url])).code).toBe(60);
  });
});
