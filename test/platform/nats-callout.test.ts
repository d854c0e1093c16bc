import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { setImmediate } from 'node:timers/promises';
import { headers, nkeys } from 'nats';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { reachDigest } from '../../src/lib/platform/access/reach.js';
import { answerCallouts, mostReachable } from '../../src/lib/platform/broker/nats-callout.js';
import { calloutKeys } from '../../src/lib/platform/broker/nats-config.js';
import { createLog } from '../../src/lib/platform/log.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';

/** NATS's own implementation of keys judges the answers, and stands in for the server. */
const server = nkeys.createServer();
const serverCurve = nkeys.createCurve();
const userKey: string = nkeys.createUser().getPublicKey();
const keys = calloutKeys({ derive: (purpose) => Buffer.alloc(32, purpose) });
const soon = Math.floor(Date.now() / 1000) + 2;

interface Asked {
  username?: string | null;
  clientId?: string | null;
  certificate?: string | null;
}

/** A viewer whose devices are limited, with these in reach. */
const limited = {
  identity: {
    ...{ kind: 'user' as const, name: 'x', token: 'tok_1', role: 'viewer' as const },
    scopes: null as string[] | null,
    reach: { selectors: ['site=hall'], text: 'site=hall', has: () => true, matches: () => true },
  },
  ...{ user: 'token:tok_1', expires: (soon + 60) * 1000, devices: ['b', 'a'] },
};

/** Answers like the authorizer for one device with a certificate, and records what it is asked. */
function service() {
  const asked: unknown[] = [];
  const logged: string[] = [];
  let receive: ((error: null, msg: object) => void) | undefined;
  let queue = '';
  const nc = {
    subscribe(subject: string, options: { queue: string; callback: typeof receive }) {
      expect(subject).toBe('$SYS.REQ.USER.AUTH');
      receive = options.callback;
      queue = options.queue;
      return { unsubscribe: () => {} };
    },
  };
  return {
    ...{ asked, logged, queue: () => queue },
    async start() {
      answerCallouts({
        ...{ client: { nc, nats: { nkeys } } as never, keys, account: 'AIOT', now: () => soon - 2 },
        log: await createLog((line) => logged.push(line)),
        authorizer: {
          async admit(question: Asked, _from: string, how?: object) {
            asked.push({ ...question, ...how });
            if (question.username === 'suspended') return { refused: 'the device suspended is suspended' };
            if (question.username === 'token:tok_1') return limited;
            return { identity: { kind: 'device', name: 'dev' }, user: 'dev', expires: null };
          },
        },
      });
    },
    /** The answer to a message; null = none. */
    async ask(data: Uint8Array | string, sender?: string): Promise<Uint8Array | null> {
      let answer: Uint8Array | null = null;
      const own = headers();
      if (sender !== undefined) own.set('Nats-Server-Xkey', sender);
      const respond = (bytes: Uint8Array) => {
        answer = bytes;
      };
      receive?.(null, { data: Buffer.from(data), headers: sender === undefined ? undefined : own, respond });
      await setImmediate();
      await setImmediate();
      return answer;
    },
  };
}

interface Claims {
  iss?: string;
  sub?: string;
  aud?: string;
  exp?: number;
  nats?: object;
}

const question = (nats: object = {}, more: Claims = {}) => ({
  iss: server.getPublicKey() as string,
  sub: keys.issuer.publicKey,
  aud: 'nats-authorization-request',
  exp: soon,
  ...more,
  nats: {
    ...{ type: 'authorization_request', version: 2, user_nkey: userKey },
    server_id: { id: server.getPublicKey(), name: 'n1' },
    client_info: { host: '192.0.2.1', id: 7, kind: 'Client', type: 'mqtt', mqtt_id: 'dev' },
    connect_opts: { user: 'dev', pass: 'secret', protocol: 4 },
    client_tls: { version: '1.3' },
    ...nats,
  },
});

function signed(claims: object, by = server): string {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const text = `${part({ typ: 'JWT', alg: 'ed25519-nkey' })}.${part(claims)}`;
  return `${text}.${Buffer.from(by.sign(Buffer.from(text))).toString('base64url')}`;
}

/** The claims of a JWT that the platform has signed. */
function claimsOf(jwt: Uint8Array | string | null): Record<string, unknown> {
  const [header = '', body = '', signature = ''] = Buffer.from(jwt ?? '')
    .toString()
    .split('.');
  const judge = nkeys.fromPublic(keys.issuer.publicKey);
  expect(judge.verify(Buffer.from(`${header}.${body}`), Buffer.from(signature, 'base64url'))).toBe(true);
  return JSON.parse(Buffer.from(body, 'base64url').toString());
}

const answered = (claims: Record<string, unknown>) => claims.nats as { jwt: string; error?: string };

describe('the answer to a NATS server', () => {
  it('admits a client with its rights, for this connection at this server, with an end', async () => {
    const { start, ask, asked } = service();
    await start();
    const claims = claimsOf(await ask(signed(question())));
    expect(claims).toMatchObject({ sub: userKey, aud: server.getPublicKey(), iss: keys.issuer.publicKey });
    const user = claimsOf(answered(claims).jwt);
    expect(user).toMatchObject({ sub: userKey, aud: 'AIOT', name: 'dev', iss: keys.issuer.publicKey });
    expect(user.nats).toMatchObject({
      ...{ type: 'user', version: 2, tags: ['aiot-device'] },
      sub: { allow: ['aiot.v1.dev.desired', 'aiot.v1.dev.command', 'aiot.v1.dev.settings'] },
    });
    const hours = (Number(user.exp) - soon) / 3600;
    expect(hours).toBeGreaterThan(17.9);
    expect(hours).toBeLessThanOrEqual(24);
    expect(asked).toEqual([
      {
        ...{ username: 'dev', clientId: 'dev', password: 'secret', address: '192.0.2.1', tls: true },
        ...{ named: false, session: true },
      },
    ]);
  });

  it('lists the devices that a limited user can reach, up to a number of them', async () => {
    const { start, ask, logged } = service();
    await start();
    const asked = question({ connect_opts: { user: 'token:tok_1', pass: 'secret' } });
    const user = claimsOf(answered(claimsOf(await ask(signed(asked)))).jwt);
    const allow = ['aiot.v1.b', 'aiot.v1.b.>', 'aiot.v1.a', 'aiot.v1.a.>'];
    expect(user.nats).toMatchObject({
      ...{ pub: { deny: ['>'] }, sub: { allow, deny: ['> >'] } },
      tags: ['aiot-user', 'aiot-role-viewer', `aiot-reach-${reachDigest(['a', 'b'])}`],
    });
    const all = limited.devices.splice(0, 2, ...Array.from({ length: mostReachable + 1 }, (_, i) => `d${i}`));
    const error = 'AIOT_BROKER_RIGHTS: token:tok_1 can reach 1,001 devices; the limit at NATS is 1,000';
    expect(answered(claimsOf(await ask(signed(asked)))).error).toContain(error);
    expect(logged.join('')).toContain(error);

    // Few enough permissions, but too long for one message of the server.
    const refused = async (scopes: string[]) => {
      limited.identity.scopes = scopes;
      return answered(claimsOf(await ask(signed(asked)))).error;
    };
    limited.devices.pop();
    const long = (at: number) => `stream:aiot/v1/+/telemetry/${'x'.repeat(300)}/${at}`;
    expect(await refused([long(1), long(2), long(3)])).toMatch(/^AIOT_BROKER_RIGHTS: .* 1,048,320$/);
    const short = (at: number) => `stream:aiot/v1/+/telemetry/${at}`;
    expect(await refused([short(1), short(2), short(3)])).toBe(undefined);
    const five = [1, 2, 3, 4, 5].map(short);
    expect(await refused(five)).toContain('needs 5,000 permissions; the limit at NATS is 4,000');
    limited.identity.scopes = null;
    limited.devices.splice(0, Infinity, ...all);
  });

  it('is encrypted if the question was', async () => {
    const { start, ask } = service();
    await start();
    const sealed = serverCurve.seal(Buffer.from(signed(question())), keys.curve.publicKey);
    const answer = await ask(sealed, serverCurve.getPublicKey());
    const opened = serverCurve.open(answer ?? new Uint8Array(), keys.curve.publicKey);
    expect(answered(claimsOf(opened)).jwt).toMatch(/^eyJ/);
  });

  it('gives the reason of a refusal to the server and the log', async () => {
    const { start, ask, logged } = service();
    await start();
    const asked = question({ connect_opts: { user: 'suspended', pass: 'secret' } });
    expect(answered(claimsOf(await ask(signed(asked))))).toMatchObject({
      error: 'the device suspended is suspended',
    });
    expect(logged.join('')).toContain('denied a client of NATS: the device suspended is suspended');
    expect(logged.join('')).not.toContain('secret');
    // Repeated attempts are logged once.
    await ask(signed(asked));
    expect(logged.length).toBe(1);
  });

  it('denies questions that are for another platform or old, and clients that are none', async () => {
    const { start, ask, asked } = service();
    await start();
    const other: string = nkeys.createAccount().getPublicKey();
    const client = { host: '192.0.2.1', id: 7, type: 'mqtt', mqtt_id: 'dev' };
    for (const [error, wrong] of [
      ["the server's issuer is not this platform's", question({}, { sub: other })],
      [
        'the request has expired: the clocks of the server and the platform differ',
        question({}, { exp: soon - 120 }),
      ],
      [
        'only clients can connect through the platform, not a Leafnode',
        question({ client_info: { ...client, kind: 'Leafnode' } }),
      ],
      [
        'the server has not verified the certificate: set "verify: optional" and "ca_file" in its tls block',
        question({ client_tls: { certs: ['PEM'] } }),
      ],
    ] as const)
      expect(answered(claimsOf(await ask(signed(wrong))))).toMatchObject({ error });
    expect(asked).toEqual([]);
  });

  it('is missing for messages that no server has signed', async () => {
    const { start, ask, asked, logged } = service();
    await start();
    const jwt = signed(question());
    const other = nkeys.createServer();
    for (const [at, wrong] of [
      ...['', 'x', '{}', jwt.slice(0, -8), `${jwt}x`, jwt.replace('.', '.e')],
      signed(question(), other),
      // Signed by one server in the name of another.
      signed(question({}, { iss: other.getPublicKey() }), other),
      signed(question({}, { iss: nkeys.createUser().getPublicKey() }), nkeys.createUser()),
      signed(question({ user_nkey: 'UABC' })),
      signed(question({ server_id: {} })),
      signed(question({}, { aud: 'other' })),
      signed({}),
      'x'.repeat(300_000),
    ].entries())
      expect(await ask(wrong), `message ${at}`).toBe(null);
    for (const [data, sender] of [
      [randomBytes(200), serverCurve.getPublicKey()],
      [serverCurve.seal(Buffer.from(jwt), nkeys.createCurve().getPublicKey()), serverCurve.getPublicKey()],
      [jwt, 'XABC'],
    ] as const)
      expect(await ask(data, sender)).toBe(null);
    expect(asked).toEqual([]);
    expect(logged.join('')).toContain('Copy nats-auth.conf');
  });

  it('comes from the replicas of one platform in turn', async () => {
    const { start, queue } = service();
    await start();
    expect(queue()).toBe(`aiot-auth-${keys.issuer.publicKey.slice(0, 16)}`);
  });
});

describe('the configuration for NATS servers', () => {
  let own: TestPlatform;
  beforeAll(async () => {
    own = await testPlatform();
  });
  afterAll(() => own.stop());
  const read = ({ folder } = own) => readFile(`${folder}/data/pki/nats-auth.conf`, 'utf8');

  it('names the same public keys after a restart, and contains no secret', async () => {
    const text = await read();
    const [, issuer = '', xkey = ''] = /issuer: (A[A-Z2-7]{55})\n\s+xkey: (X[A-Z2-7]{55})\n/.exec(text) ?? [];
    expect([issuer, xkey]).not.toContain('');
    expect(text).not.toMatch(/\bS[AX][A-Z2-7]{20}/);
    await own.restart();
    expect(await read()).toBe(text);
    const other = await testPlatform();
    try {
      expect(await read(other)).not.toContain(issuer);
    } finally {
      await other.stop();
    }
  });
});
