import '../node/buffer.js';
import type { ProvisionReply } from '../../src/lib/api/index.js';
import type { ChipName } from '../../src/lib/formats/esp-image/chips.js';
import { deviceImage } from '../../src/lib/provision/device-image.js';
import type { Part } from './flash.js';

/** A device's new key, and the request for its certificate. Both are PEM. */
export interface KeyRequest {
  /** PKCS#8. It goes only to the board. */
  key: string;
  /** PKCS#10 */
  csr: string;
}

const algorithm = { name: 'ECDSA', namedCurve: 'P-256' };

/** Creates a key and requests a certificate for it. Source of the request's form: RFC 2986. */
export async function requestCertificate(name: string): Promise<KeyRequest> {
  const { privateKey, publicKey } = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const exported = async (format: 'pkcs8' | 'spki', key: CryptoKey) =>
    new Uint8Array(await crypto.subtle.exportKey(format, key));
  const commonName = sequence(objectId(0x55, 4, 3), der(0x0c, new TextEncoder().encode(name)));
  const info = sequence(
    der(0x02, Uint8Array.of(0)),
    sequence(der(0x31, commonName)),
    await exported('spki', publicKey),
    der(0xa0, new Uint8Array()),
  );
  const hash = { name: 'ECDSA', hash: 'SHA-256' };
  const signature = new Uint8Array(await crypto.subtle.sign(hash, privateKey, info));
  const pair = sequence(integer(signature.subarray(0, 32)), integer(signature.subarray(32)));
  // ecdsa-with-SHA256
  const signed = sequence(objectId(0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2));
  const csr = sequence(info, signed, der(0x03, joined(Uint8Array.of(0), pair)));
  return {
    key: pem('PRIVATE KEY', await exported('pkcs8', privateKey)),
    csr: pem('CERTIFICATE REQUEST', csr),
  };
}

/** The partition table and the NVS that give a board its identity, as `aiot device provision` writes them. */
export function identityParts(reply: ProvisionReply, key: string, chip: ChipName): Part[] {
  const { device, certificate, urls, ca, trust, root, release } = reply;
  const { name, id, type, mac } = device;
  // The lower three octets of the MAC as one number, as in src/lib/api/fields.ts.
  const chipId =
    device.chipId ?? (mac ? String(Number.parseInt(mac.split(':').slice(3).join(''), 16)) : null);
  const image = deviceImage(
    { name, id, type, chip, chipId, key, certificate },
    {
      platform: { ...urls, ca },
      ...{ wifi: null, trust, root, release, version: 2, table: null, flashBytes: 4 << 20, encrypt: false },
    },
  );
  return [image.partitions, image.nvs];
}

function joined(...parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** A value in DER. */
function der(tag: number, content: Uint8Array): Uint8Array<ArrayBuffer> {
  const { length } = content;
  const size =
    length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return joined(Uint8Array.of(tag, ...size), content);
}

const sequence = (...parts: Uint8Array[]) => der(0x30, joined(...parts));
const objectId = (...bytes: number[]) => der(0x06, Uint8Array.from(bytes));

/** A positive number: without superfluous zeros, and with one where the first bit would make it negative. */
function integer(bytes: Uint8Array): Uint8Array {
  const from = bytes.findIndex((byte) => byte !== 0);
  const short = bytes.subarray(from < 0 ? bytes.length - 1 : from);
  return der(0x02, (short[0] ?? 0) < 0x80 ? short : joined(Uint8Array.of(0), short));
}

function pem(label: string, bytes: Uint8Array): string {
  const lines = btoa(String.fromCharCode(...bytes)).match(/.{1,64}/g) ?? [];
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ''].join('\n');
}
