import { createRequire } from 'node:module';

interface Pair {
  getPublicKey(): string;
  getSeed(): Uint8Array;
  sign(data: Uint8Array): Uint8Array;
}

/** The keys of the nats package itself: what `nsc` would make. */
const { createAccount, createOperator, createUser } = createRequire(
  createRequire(import.meta.url).resolve('nats'),
)('nkeys.js') as Record<'createAccount' | 'createOperator' | 'createUser', () => Pair>;

const seedOf = (pair: Pair) => Buffer.from(pair.getSeed()).toString();

/** An NKey: its public half for the server's configuration, its seed for the client. */
export function makeNkey(): { publicKey: string; seed: string } {
  const pair = createUser();
  return { publicKey: pair.getPublicKey(), seed: seedOf(pair) };
}

/** A JWT as NATS signs it (github.com/nats-io/jwt, version 2). */
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

/** Operator, account and user of a server in operator mode: its configuration, and the user's .creds. */
export function makeCreds(): { config: string; creds: string } {
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
