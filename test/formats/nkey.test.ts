import { randomBytes } from 'node:crypto';
import { nkeys } from 'nats';
import { describe, expect, it } from 'vitest';
import { curveNkey, isNkey, nkeySeed, readSignedClaims, signingNkey } from '../../src/lib/formats/nkey.js';

/** Judged by NATS's own implementation, which nats.js contains. */
describe('NATS keys', () => {
  const seeds = [
    Buffer.alloc(32),
    Buffer.alloc(32, 0xff),
    ...Array.from({ length: 20 }, () => randomBytes(32)),
  ];

  it('have the seed and the public key that NATS derives from the same bytes', () => {
    for (const seed of seeds) {
      for (const kind of ['account', 'server', 'user'] as const) {
        const judge = nkeys.fromSeed(Buffer.from(nkeySeed(kind, seed)));
        expect(signingNkey(kind, seed).publicKey).toBe(judge.getPublicKey());
        expect(Buffer.from(judge.getSeed()).toString()).toBe(nkeySeed(kind, seed));
      }
      const curve = nkeys.fromCurveSeed(Buffer.from(nkeySeed('curve', seed)));
      expect(curveNkey(seed)).toBe(curve.getPublicKey());
    }
  });

  it('are recognized by their kind and checksum', () => {
    const account: string = nkeys.createAccount().getPublicKey();
    expect(isNkey(account, 'account')).toBe(true);
    expect(isNkey(account, 'user')).toBe(false);
    expect(isNkey(nkeys.createUser().getPublicKey(), 'user')).toBe(true);
    expect(isNkey(nkeys.createServer().getPublicKey(), 'server')).toBe(true);
    expect(isNkey(nkeys.createCurve().getPublicKey(), 'curve')).toBe(true);
    for (let at = 0; at < account.length; at++) {
      const other = account[at] === 'B' ? 'C' : 'B';
      expect(isNkey(account.slice(0, at) + other + account.slice(at + 1), 'account'), `letter ${at}`).toBe(
        false,
      );
    }
    for (const text of ['', 'A', account.toLowerCase(), account.slice(1), `${account}A`, account.repeat(2)])
      expect(isNkey(text, 'account'), text).toBe(false);
  });
});

describe('JWTs signed with NATS keys', () => {
  it('are verified by NATS', () => {
    const key = signingNkey('account', randomBytes(32));
    const jwt = key.signClaims({ sub: 'x', nats: { type: 'user' } });
    const [header = '', body = '', signature = ''] = jwt.split('.');
    const json = (part: string) => JSON.parse(Buffer.from(part, 'base64url').toString());
    expect(json(header)).toEqual({ typ: 'JWT', alg: 'ed25519-nkey' });
    expect(json(body)).toEqual({ sub: 'x', nats: { type: 'user' }, iss: key.publicKey });
    const judge = nkeys.fromPublic(key.publicKey);
    expect(judge.verify(Buffer.from(`${header}.${body}`), Buffer.from(signature, 'base64url'))).toBe(true);
  });

  it('are read if NATS has signed them, and rejected if anything in them was changed', () => {
    const server = nkeys.createServer();
    const jwt = signedBy(server, { iss: server.getPublicKey(), aud: 'a' });
    expect(readSignedClaims(jwt, 'server')).toEqual({ iss: server.getPublicKey(), aud: 'a' });
    expect(readSignedClaims(jwt, 'account')).toBe(null);
    const [header = '', body = '', signature = ''] = jwt.split('.');
    const changed = Buffer.from(JSON.stringify({ iss: server.getPublicKey(), aud: 'b' })).toString(
      'base64url',
    );
    const other = nkeys.createServer();
    for (const wrong of [
      `${header}.${changed}.${signature}`,
      `${header}.${body}.${signature.slice(0, -4)}`,
      `${header}.${body}.`,
      `${header}.${body}`,
      `${jwt}.${signature}`,
      `${Buffer.from('{"typ":"JWT","alg":"none"}').toString('base64url')}.${body}.${signature}`,
      signedBy(other, { iss: server.getPublicKey() }),
      signedBy(server, {}),
      signedBy(server, { iss: 7 }),
      signedBy(server, null),
      '',
      '..',
      'no token',
    ])
      expect(readSignedClaims(wrong, 'server'), wrong).toBe(null);
  });
});

function signedBy(key: { sign(bytes: Uint8Array): Uint8Array }, claims: object | null): string {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const text = `${part({ typ: 'JWT', alg: 'ed25519-nkey' })}.${part(claims)}`;
  return `${text}.${Buffer.from(key.sign(Buffer.from(text))).toString('base64url')}`;
}
