import { createCipheriv, createPrivateKey, randomBytes, scryptSync } from 'node:crypto';
import { AiotError } from '../core/index.js';

/** scrypt's cost (RFC 7914): what `openssl pkcs8 -scrypt` uses, 16 MiB. */
const cost = { N: 2 ** 14, r: 8, p: 1 };

export function isSealed(pem: string): boolean {
  return pem.includes('-----BEGIN ENCRYPTED PRIVATE KEY-----');
}

/**
 * A PKCS#8 key under a passphrase: EncryptedPrivateKeyInfo (RFC 5958, 3) by PBES2 (RFC 8018, 6.2) with scrypt (RFC 7914, 7)
 * and AES-256-CBC, so that openssl reads it too.
 */
export function sealKey(pem: string, passphrase: string): string {
  const der = createPrivateKey(pem).export({ type: 'pkcs8', format: 'der' });
  const [salt, iv] = [randomBytes(16), randomBytes(16)];
  const cipher = createCipheriv('aes-256-cbc', scryptSync(passphrase, salt, 32, cost), iv);
  const sealed = Buffer.concat([cipher.update(der), cipher.final()]);
  const scrypt = sequence(
    oid('2b06010401da47040b'),
    sequence(octets(salt), integer(cost.N), integer(cost.r), integer(cost.p)),
  );
  const aes = sequence(oid('60864801650304012a'), octets(iv));
  const info = sequence(sequence(oid('2a864886f70d01050d'), sequence(scrypt, aes)), octets(sealed));
  const lines = info.toString('base64').match(/.{1,64}/g) ?? [];
  return ['-----BEGIN ENCRYPTED PRIVATE KEY-----', ...lines, '-----END ENCRYPTED PRIVATE KEY-----', ''].join(
    '\n',
  );
}

/** The key in it, PKCS#8 PEM. @throws AIOT_CA_LOCKED without the passphrase, or with another */
export function unsealKey(pem: string, passphrase: string | undefined, file: string): string {
  if (passphrase === undefined || passphrase === '') {
    throw new AiotError('AIOT_CA_LOCKED', `${file} is encrypted, and there is no passphrase for it`);
  }
  try {
    return createPrivateKey({ key: pem, passphrase }).export({ type: 'pkcs8', format: 'pem' }).toString();
  } catch (cause) {
    throw new AiotError('AIOT_CA_LOCKED', `${file} cannot be read with the passphrase that was given`, {
      cause,
    });
  }
}

/** DER (X.690): a tag, the length of the content, the content. */
function element(tag: number, ...contents: Buffer[]): Buffer {
  const content = Buffer.concat(contents);
  const { length } = content;
  const head =
    length < 128
      ? [tag, length]
      : length < 256
        ? [tag, 0x81, length]
        : [tag, 0x82, length >> 8, length & 255];
  return Buffer.concat([Buffer.from(head), content]);
}
const sequence = (...contents: Buffer[]) => element(0x30, ...contents);
const octets = (bytes: Buffer) => element(0x04, bytes);
const oid = (hex: string) => element(0x06, Buffer.from(hex, 'hex'));

function integer(value: number): Buffer {
  const hex = value.toString(16);
  const bytes = Buffer.from(hex.length % 2 ? `0${hex}` : hex, 'hex');
  return element(0x02, (bytes[0] ?? 0) > 127 ? Buffer.concat([Buffer.from([0]), bytes]) : bytes);
}
