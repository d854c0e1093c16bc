import { createHash, timingSafeEqual } from 'node:crypto';

/**
 * Secure Remote Password, version 6a (RFC 2945, RFC 5054): both sides prove that they know a password, and agree on a key, without sending
 * the password. Arrays are big-endian numbers.
 */
export interface SrpGroup {
  prime: bigint;
  generator: bigint;
  /** Size of the prime, bytes. */
  bytes: number;
  hash: 'sha1' | 'sha512';
}

/** The 3072-bit group of RFC 5054, appendix A, with the hash that Espressif's security scheme 2 uses. */
export const protocommGroup: SrpGroup = {
  prime: BigInt(
    '0xffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404ddef9519b3cd3a431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a637ed6b0bff5cb6f406b7edee386bfb5a899fa5ae9f24117c4b1fe649286651ece45b3dc2007cb8a163bf0598da48361c55d39a69163fa8fd24cf5f83655d23dca3ad961c62f356208552bb9ed529077096966d670c354e4abc9804f1746c08ca18217c32905e462e36ce3be39e772c180e86039b2783a2ec07a28fb5c55df06f4c52c9de2bcbf6955817183995497cea956ae515d2261898fa051015728e5a8aaac42dad33170d04507a33a85521abdf1cba64ecfb850458dbef0a8aea71575d060c7db3970f85a6e1e4c7abf5ae8cdb0933d71e8c94e04a25619dcee3d2261ad2ee6bf12ffa06d98a0864d87602733ec86a64521f2b18177b200cbbe117577a615d6c770988c0bad946e208e24fa074e5ab3143db5bfce0fd108e4b82d120a93ad2caffffffffffffffff',
  ),
  generator: 5n,
  bytes: 384,
  hash: 'sha512',
};

/** The value that a server stores instead of the password: g^x. @param salt random bytes; the first must not be 0 for Espressif's client */
export function srpVerifier(group: SrpGroup, user: string, password: string, salt: Uint8Array): Uint8Array {
  return minimal(power(group.generator, privateKey(group, user, password, salt), group.prime));
}

/** The agreed key, and the proofs of both sides. */
export interface SrpSession {
  key: Uint8Array;
  clientProof: Uint8Array;
  serverProof: Uint8Array;
}

/** One attempt of a client to log in. */
export class SrpClient {
  private readonly secret: bigint;
  /** The client's public value A, which is as long as the prime. */
  readonly publicKey: Uint8Array;

  /** @param random returns the given number of random bytes */
  constructor(
    private readonly group: SrpGroup,
    private readonly user: string,
    private readonly password: string,
    random: (bytes: number) => Uint8Array,
  ) {
    const { generator, prime, bytes } = group;
    // Implementations differ in whether they hash leading zeros of A, so A must not have any. One attempt in 256 yields such a value.
    for (;;) {
      const secret = numberOf(random(32));
      const key = minimal(power(generator, secret, prime));
      if (key.length < bytes) continue;
      [this.secret, this.publicKey] = [secret, key];
      return;
    }
  }

  /** Null if the server's values are unsafe, because they would make the key predictable. */
  session(salt: Uint8Array, serverKey: Uint8Array): SrpSession | null {
    const { group } = this;
    const { prime, generator } = group;
    const server = numberOf(serverKey);
    if (serverKey.length > group.bytes || server % prime === 0n) return null;
    const mix = mixOf(group, this.publicKey, serverKey);
    if (mix === 0n) return null;
    const x = privateKey(group, this.user, this.password, salt);
    const base = modulo(server - multiplier(group) * power(generator, x, prime), prime);
    const shared = power(base, this.secret + mix * x, prime);
    return sessionOf(group, this.user, salt, this.publicKey, serverKey, shared);
  }
}

/** The server's side of one attempt. */
export class SrpServer {
  private readonly secret: bigint;
  private readonly verifier: bigint;
  /** B */
  readonly publicKey: Uint8Array;

  constructor(
    private readonly group: SrpGroup,
    private readonly user: string,
    private readonly salt: Uint8Array,
    verifier: Uint8Array,
    random: (bytes: number) => Uint8Array,
  ) {
    const { generator, prime } = group;
    this.verifier = numberOf(verifier);
    this.secret = numberOf(random(32));
    const key = modulo(multiplier(group) * this.verifier + power(generator, this.secret, prime), prime);
    this.publicKey = minimal(key);
  }

  /** Null if the client's value is unsafe. */
  session(clientKey: Uint8Array): SrpSession | null {
    const { group, salt, user } = this;
    const client = numberOf(clientKey);
    if (clientKey.length > group.bytes || client % group.prime === 0n) return null;
    const mix = mixOf(group, clientKey, this.publicKey);
    const base = modulo(client * power(this.verifier, mix, group.prime), group.prime);
    const shared = power(base, this.secret, group.prime);
    return sessionOf(group, user, salt, clientKey, this.publicKey, shared);
  }
}

/** Whether two proofs are equal, in constant time. */
export const sameProof = (a: Uint8Array, b: Uint8Array) => a.length === b.length && timingSafeEqual(a, b);

/** x of RFC 5054: the hash of salt, user and password. */
function privateKey(group: SrpGroup, user: string, password: string, salt: Uint8Array): bigint {
  return numberOf(hashOf(group, salt, hashOf(group, Buffer.from(`${user}:${password}`))));
}

/** k of RFC 5054. */
function multiplier(group: SrpGroup): bigint {
  const { prime, generator } = group;
  return numberOf(hashOf(group, minimal(prime), padded(group, minimal(generator))));
}

/** u of RFC 5054. */
function mixOf(group: SrpGroup, clientKey: Uint8Array, serverKey: Uint8Array): bigint {
  return numberOf(hashOf(group, padded(group, clientKey), padded(group, serverKey)));
}

/** Key and proofs as RFC 2945 defines them, with the padded generator. */
function sessionOf(
  group: SrpGroup,
  user: string,
  salt: Uint8Array,
  clientKey: Uint8Array,
  serverKey: Uint8Array,
  shared: bigint,
): SrpSession {
  const key = hashOf(group, minimal(shared));
  const prime = hashOf(group, minimal(group.prime));
  const generator = hashOf(group, padded(group, minimal(group.generator)));
  const groupProof = prime.map((byte, i) => byte ^ generator[i]!);
  const clientProof = hashOf(
    group,
    ...[groupProof, hashOf(group, Buffer.from(user)), salt, clientKey, serverKey, key],
  );
  return { key, clientProof, serverProof: hashOf(group, clientKey, clientProof, key) };
}

function hashOf({ hash }: SrpGroup, ...parts: readonly Uint8Array[]): Uint8Array {
  const made = createHash(hash);
  for (const part of parts) made.update(part);
  return new Uint8Array(made.digest());
}

function padded({ bytes }: SrpGroup, number: Uint8Array): Uint8Array {
  const out = new Uint8Array(bytes);
  out.set(number, bytes - number.length);
  return out;
}

/** A number without leading zeros. */
function minimal(number: bigint): Uint8Array {
  const digits = number.toString(16);
  return new Uint8Array(Buffer.from(digits.length % 2 === 0 ? digits : `0${digits}`, 'hex'));
}

const numberOf = (bytes: Uint8Array) =>
  bytes.length === 0 ? 0n : BigInt(`0x${Buffer.from(bytes).toString('hex')}`);

const modulo = (value: bigint, by: bigint) => ((value % by) + by) % by;

function power(base: bigint, exponent: bigint, by: bigint): bigint {
  let [result, square] = [1n, modulo(base, by)];
  for (let rest = exponent; rest > 0n; rest >>= 1n) {
    if ((rest & 1n) === 1n) result = (result * square) % by;
    square = (square * square) % by;
  }
  return result;
}
