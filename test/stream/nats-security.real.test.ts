import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { deliveriesOf, type StreamOptions } from '../../src/lib/stream/message.js';
import { openSink, openSource } from '../../src/lib/stream/open.js';
import { runCli } from '../support/cli.js';
import { type NatsServer, startNats } from '../support/nats.js';
import { describeReal } from '../support/real.js';

interface Pair {
  getPublicKey(): string;
  getSeed(): Uint8Array;
  sign(data: Uint8Array): Uint8Array;
}

/** The nats package's functions for keys, which are equivalent to `nsc`. */
const { createAccount, createOperator, createUser } = createRequire(
  createRequire(import.meta.url).resolve('nats'),
)('nkeys.js') as Record<'createAccount' | 'createOperator' | 'createUser', () => Pair>;

const seedOf = (pair: Pair) => Buffer.from(pair.getSeed()).toString();

/** Creates an NKey, with its public key for the server's configuration and its seed for the client. */
function makeNkey(): { publicKey: string; seed: string } {
  const pair = createUser();
  return { publicKey: pair.getPublicKey(), seed: seedOf(pair) };
}

/** A JWT in the format of NATS (github.com/nats-io/jwt, version 2). */
function jwt(issuer: Pair, subject: Pair, name: string, nats: object): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const claims = {
    jti: name,
    iat: Math.floor(Date.now() / 1000),
    iss: issuer.getPublicKey(),
    sub: subject.getPublicKey(),
    name,
    nats: { version: 2, ...nats },
  };
  const body = `${part({ typ: 'JWT', alg: 'ed25519-nkey' })}.${part(claims)}`;
  return `${body}.${Buffer.from(issuer.sign(Buffer.from(body))).toString('base64url')}`;
}

/**
 * Creates an operator, an account and a user for a server in operator mode; returns the server's
 * configuration and the user's .creds.
 */
function makeCreds(): { config: string; creds: string } {
  const [operator, account, user] = [createOperator(), createAccount(), createUser()];
  const limits = { subs: -1, data: -1, payload: -1, imports: -1, exports: -1, conn: -1, leaf: -1 };
  const accountJwt = jwt(operator, account, 'plant', {
    type: 'account',
    limits: { ...limits, wildcards: true },
  });
  const userJwt = jwt(account, user, 'ana', { type: 'user', subs: -1, data: -1, payload: -1 });
  return {
    config: [
      `operator: ${jwt(operator, operator, 'test', { type: 'operator' })}`,
      'resolver: MEMORY',
      `resolver_preload { ${account.getPublicKey()}: ${accountJwt} }`,
    ].join('\n'),
    creds: [
      `-----BEGIN NATS USER JWT-----\n${userJwt}\n------END NATS USER JWT------`,
      `-----BEGIN USER NKEY SEED-----\n${seedOf(user)}\n------END USER NKEY SEED------\n`,
    ].join('\n\n'),
  };
}

/** Sends a message and receives it. */
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

describeReal('nats', 'authentication with a real nats-server', () => {
  let server: NatsServer | undefined;
  const started = async (config: string) => {
    server = await startNats(config, { jetstream: false });
    return server;
  };
  afterEach(async () => {
    await server?.stop();
    server = undefined;
  });

  it('accepts a token in the URL or as an option', async () => {
    const { port, url } = await started('authorization { token: "s3cret" }');
    expect(await passes(`nats://s3cret@127.0.0.1:${port}/a`)).toBe('through');
    expect(await passes(`${url}/a`, { token: 's3cret' })).toBe('through');
    await expect(passes(`${url}/a`, { token: 'wr0ng' })).rejects.toMatchObject({
      code: 'AIOT_BROKER_REFUSED',
      message: expect.not.stringContaining('wr0ng'),
    });
  });

  it('accepts user and password, and reports denied subjects', async () => {
    const { port } = await started(
      'authorization { users: [{ user: ana, password: "p:w", permissions: { publish: "a", subscribe: ["a", "_INBOX.>"] } }] }',
    );
    const url = `nats://ana:p%3Aw@127.0.0.1:${port}`;
    expect(await passes(`${url}/a`)).toBe('through');
    await expect(openSource(`${url}/b`)).rejects.toMatchObject({
      code: 'AIOT_BROKER_REFUSED',
      message: `nats://127.0.0.1:${port} does not permit this client to subscribe to b`,
    });
    const sink = await openSink(`${url}/b`);
    await expect(sink.write([{ topic: '', payload: Buffer.from('x') }])).rejects.toMatchObject({
      code: 'AIOT_BROKER_REFUSED',
      message: `nats://127.0.0.1:${port} does not permit this client to publish to b`,
    });
    await sink.close();
  });

  it('accepts the right NKey and rejects another', async () => {
    const { publicKey, seed } = makeNkey();
    const { url } = await started(`authorization { users: [{ nkey: ${publicKey} }] }`);
    expect(await passes(`${url}/a`, { nkey: seed })).toBe('through');
    await expect(passes(`${url}/a`, { nkey: makeNkey().seed })).rejects.toMatchObject({
      code: 'AIOT_BROKER_REFUSED',
    });
  });

  it('accepts a .creds file by flag and from stream login', async () => {
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

    it('works with a custom CA on nats: and natss:, and fails without it', async () => {
      const { port, url } = await started(tls('server'));
      expect(await passes(`${url}/a`, { ca: read('ca.pem') })).toBe('through');
      expect(await passes(`natss://127.0.0.1:${port}/a`, { ca: read('ca.pem') })).toBe('through');
      await expect(passes(`${url}/a`)).rejects.toMatchObject({
        code: 'AIOT_BROKER_UNREACHABLE',
        next: 'Specify the CA that signed its certificate: --ca FILE',
      });
    });

    it('uses a client certificate if the server requires one (mTLS)', async () => {
      const { url } = await started(tls('server', ', verify: true'));
      const ca = read('ca.pem');
      expect(await passes(`${url}/a`, { ca, cert: read('client.pem'), key: read('client.key') })).toBe(
        'through',
      );
      await expect(passes(`${url}/a`, { ca })).rejects.toMatchObject({
        next: expect.stringContaining('--cert'),
      });
    });

    it('checks the certificate for servername if the host name differs (the motion system)', async () => {
      const { url } = await started(tls('named'));
      const ca = read('ca.pem');
      expect(await passes(`${url}/a?servername=nats`, { ca })).toBe('through');
      await expect(passes(`${url}/a`, { ca })).rejects.toMatchObject({ code: 'AIOT_BROKER_UNREACHABLE' });
    });

    it('rejects a server without TLS on natss:', async () => {
      const { port } = await started('');
      await expect(passes(`natss://127.0.0.1:${port}/a`)).rejects.toMatchObject({
        code: 'AIOT_BROKER_UNREACHABLE',
      });
    });
  });
});
