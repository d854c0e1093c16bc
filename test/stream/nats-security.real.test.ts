import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { deliveriesOf, type StreamOptions } from '../../src/lib/stream/message.js';
import { openSink, openSource } from '../../src/lib/stream/open.js';
import { runCli } from '../support/cli.js';
import { type NatsServer, startNats } from '../support/nats.js';
import { makeCreds, makeNkey } from '../support/nats-identities.js';
import { describeReal } from '../support/real.js';

/** A message there and back. */
async function passes(url: string, options: StreamOptions = {}): Promise<string> {
  const source = await openSource(url, options);
  const sink = await openSink(url, options);
  try {
    await sink.write([{ topic: '', payload: Buffer.from('through') }]);
    const { value } = await deliveriesOf(source).next();
    return String(value?.message.payload);
  } finally {
    await sink.close();
    await source.close();
  }
}

describeReal('nats', 'who we are to a real nats-server', () => {
  let server: NatsServer | undefined;
  const started = async (config: string) => {
    server = await startNats(config, { jetstream: false });
    return server;
  };
  afterEach(async () => {
    await server?.stop();
    server = undefined;
  });

  it('a token, in the URL or apart', async () => {
    const { port, url } = await started('authorization { token: "s3cret" }');
    expect(await passes(`nats://s3cret@127.0.0.1:${port}/a`)).toBe('through');
    expect(await passes(`${url}/a`, { token: 's3cret' })).toBe('through');
    await expect(passes(`${url}/a`, { token: 'wr0ng' })).rejects.toMatchObject({
      code: 'AIOT_BROKER_REFUSED',
      message: expect.not.stringContaining('wr0ng'),
    });
  });

  it('user and password, with what that user may not', async () => {
    const { port } = await started(
      'authorization { users: [{ user: ana, password: "p:w", permissions: { publish: "a", subscribe: ["a", "_INBOX.>"] } }] }',
    );
    const url = `nats://ana:p%3Aw@127.0.0.1:${port}`;
    expect(await passes(`${url}/a`)).toBe('through');
    await expect(openSource(`${url}/b`)).rejects.toMatchObject({
      code: 'AIOT_BROKER_REFUSED',
      message: `nats://127.0.0.1:${port} does not let us subscribe to b`,
    });
    const sink = await openSink(`${url}/b`);
    await expect(sink.write([{ topic: '', payload: Buffer.from('x') }])).rejects.toMatchObject({
      code: 'AIOT_BROKER_REFUSED',
      message: `nats://127.0.0.1:${port} does not let us publish to b`,
    });
    await sink.close();
  });

  it('an NKey', async () => {
    const { publicKey, seed } = makeNkey();
    const { url } = await started(`authorization { users: [{ nkey: ${publicKey} }] }`);
    expect(await passes(`${url}/a`, { nkey: seed })).toBe('through');
    await expect(passes(`${url}/a`, { nkey: makeNkey().seed })).rejects.toMatchObject({
      code: 'AIOT_BROKER_REFUSED',
    });
  });

  it('a .creds file, by its flag and kept by login', async () => {
    const { config, creds } = makeCreds();
    const { url, folder } = await started(config);
    const before = process.env.AIOT_CONFIG_DIR;
    process.env.AIOT_CONFIG_DIR = join(folder, 'config');
    try {
      const file = join(folder, 'user.creds');
      writeFileSync(file, creds);
      const asked = await runCli(['stream', 'check', url, '--creds', file, '--json']);
      expect(asked).toMatchObject({ code: 0, json: { ok: true } });
      expect(await runCli(['stream', 'login', url, '--creds', file, '--json'])).toMatchObject({
        code: 0,
        json: { endpoints: [{ endpoint: url, kept: ['creds'] }], tried: true },
      });
      expect(await passes(`${url}/a`)).toBe('through');
    } finally {
      if (before === undefined) delete process.env.AIOT_CONFIG_DIR;
      else process.env.AIOT_CONFIG_DIR = before;
    }
  });

  describe('TLS', () => {
    const folder = mkdtempSync(join(tmpdir(), 'aiot-nats-tls-'));
    const at = (name: string) => join(folder, name);
    const read = (name: string) => readFileSync(at(name), 'utf8');
    beforeAll(() => {
      const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'ignore' });
      const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
      openssl(
        'req',
        '-x509',
        ...key,
        '-keyout',
        'ca.key',
        '-out',
        'ca.pem',
        '-days',
        '2',
        '-subj',
        '/CN=Test CA',
      );
      for (const [name, names] of [
        ['server', 'DNS:nats,IP:127.0.0.1'],
        ['named', 'DNS:nats'],
        ['client', 'DNS:client'],
      ] as const) {
        writeFileSync(at('ext'), `subjectAltName=${names}\n`);
        openssl('req', ...key, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`);
        openssl(
          ...['x509', '-req', '-in', `${name}.csr`, '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial'],
          ...['-out', `${name}.pem`, '-days', '2', '-extfile', 'ext'],
        );
      }
    });
    afterAll(() => rmSync(folder, { recursive: true, force: true }));
    const tls = (name: string, more = '') =>
      `tls { cert_file: "${at(`${name}.pem`)}", key_file: "${at(`${name}.key`)}", ca_file: "${at('ca.pem')}" ${more} }`;

    it('with a CA of ours, on nats: and natss:, and not without', async () => {
      const { port, url } = await started(tls('server'));
      expect(await passes(`${url}/a`, { ca: read('ca.pem') })).toBe('through');
      expect(await passes(`natss://127.0.0.1:${port}/a`, { ca: read('ca.pem') })).toBe('through');
      await expect(passes(`${url}/a`)).rejects.toMatchObject({
        code: 'AIOT_BROKER_UNREACHABLE',
        next: 'Name the CA that signed its certificate: --ca FILE',
      });
    });

    it('with a client certificate where the server demands one (mTLS)', async () => {
      const { url } = await started(tls('server', ', verify: true'));
      const ca = read('ca.pem');
      expect(await passes(`${url}/a`, { ca, cert: read('client.pem'), key: read('client.key') })).toBe(
        'through',
      );
      await expect(passes(`${url}/a`, { ca })).rejects.toMatchObject({
        next: expect.stringContaining('--cert'),
      });
    });

    it('with the name in the certificate where the host has another (the motion system)', async () => {
      const { url } = await started(tls('named'));
      const ca = read('ca.pem');
      expect(await passes(`${url}/a?servername=nats`, { ca })).toBe('through');
      await expect(passes(`${url}/a`, { ca })).rejects.toMatchObject({ code: 'AIOT_BROKER_UNREACHABLE' });
    });

    it('natss: refuses a server without TLS', async () => {
      const { port } = await started('');
      await expect(passes(`natss://127.0.0.1:${port}/a`)).rejects.toMatchObject({
        code: 'AIOT_BROKER_UNREACHABLE',
      });
    });
  });
});
