import { createCipheriv, createDecipheriv } from 'node:crypto';
import { bytes, integer, message, ProtobufFields } from './protobuf.js';

/**
 * Messages of ESP-IDF's unified provisioning: components/protocomm/proto and components/wifi_provisioning/proto (espressif/esp-idf). Numbers of
 * fields and messages are those of the .proto files. Functions that read a message throw RangeError if it is damaged.
 */

/** Status codes of a reply (constants.proto). */
export const protocommStatuses = [
  'success',
  'invalid security scheme',
  'invalid protocol',
  'too many sessions',
  'invalid argument',
  'internal error',
  'cryptographic error',
  'invalid session',
] as const;

export function protocommStatus(number: number): string {
  return protocommStatuses[number] ?? `status ${number}`;
}

/** Security scheme 2: SRP6a, then AES-256-GCM (session.proto, sec2.proto). */
const scheme = 2;
const sessionFields = { scheme: 2, payload: 12 } as const;

const sessionMessage = (kind: number, content: Uint8Array) =>
  message(
    integer(sessionFields.scheme, scheme),
    bytes(sessionFields.payload, message(integer(1, kind), bytes(20 + kind, content))),
  );

export const encodeLogin = (user: string, clientKey: Uint8Array) =>
  sessionMessage(0, message(bytes(1, Buffer.from(user)), bytes(2, clientKey)));

export const encodeLoginProof = (proof: Uint8Array) => sessionMessage(2, bytes(1, proof));

/** The board's part of a message; null if the message belongs to another scheme or step. */
function sessionReply(encoded: Uint8Array, kind: number): ProtobufFields | null {
  const outer = new ProtobufFields(encoded);
  if (outer.integer(sessionFields.scheme) !== scheme) return null;
  const payload = outer.message(sessionFields.payload);
  return payload.integer(1) === kind && payload.has(20 + kind) ? payload.message(20 + kind) : null;
}

export function readLogin(
  encoded: Uint8Array,
): { status: number; serverKey: Uint8Array; salt: Uint8Array } | null {
  const reply = sessionReply(encoded, 1);
  return reply && { status: reply.integer(1), serverKey: reply.bytes(2), salt: reply.bytes(3) };
}

export function readLoginProof(
  encoded: Uint8Array,
): { status: number; proof: Uint8Array; nonce: Uint8Array } | null {
  const reply = sessionReply(encoded, 3);
  return reply && { status: reply.integer(1), proof: reply.bytes(2), nonce: reply.bytes(3) };
}

const keyBytes = 32;
const tagBytes = 16;
export const protocommNonceBytes = 12;

/**
 * Encrypts and decrypts the messages after the login. Both directions share the nonce. Its last four bytes count the messages if the
 * firmware's patch version of the scheme is 1; in earlier versions, all messages have the same nonce.
 */
export class ProtocommCipher {
  private readonly key: Uint8Array;
  private readonly nonce: Buffer;

  constructor(
    key: Uint8Array,
    nonce: Uint8Array,
    private readonly counts: boolean,
  ) {
    this.key = key.subarray(0, keyBytes);
    this.nonce = Buffer.from(nonce);
  }

  encrypt(plain: Uint8Array): Uint8Array {
    const cipher = createCipheriv('aes-256-gcm', this.key, this.nonce);
    const content = Buffer.concat([cipher.update(plain), cipher.final()]);
    this.step();
    return new Uint8Array(Buffer.concat([content, cipher.getAuthTag()]));
  }

  /** @throws RangeError if the message was changed */
  decrypt(encrypted: Uint8Array): Uint8Array {
    const end = encrypted.length - tagBytes;
    if (end < 0) throw new RangeError('an encrypted message is too short');
    const decipher = createDecipheriv('aes-256-gcm', this.key, this.nonce);
    decipher.setAuthTag(encrypted.subarray(end));
    try {
      const plain = Buffer.concat([decipher.update(encrypted.subarray(0, end)), decipher.final()]);
      this.step();
      return new Uint8Array(plain);
    } catch (cause) {
      throw new RangeError('an encrypted message was modified', { cause });
    }
  }

  private step(): void {
    if (this.counts) this.nonce.writeUInt32BE((this.nonce.readUInt32BE(8) + 1) >>> 0, 8);
  }
}

/** Wi-Fi settings (wifi_config.proto). */
const wifiMessage = (kind: number, content: Uint8Array) =>
  message(integer(1, kind), bytes(10 + kind, content));
const nothing = new Uint8Array();

export const encodeWifiStatusRequest = () => wifiMessage(0, nothing);
export const encodeWifiSettings = (ssid: string, password: string) =>
  wifiMessage(2, message(bytes(1, Buffer.from(ssid)), bytes(2, Buffer.from(password))));
export const encodeWifiApply = () => wifiMessage(4, nothing);

/** The status of a reply to settings (`set`) or to their application; null for another message. */
export function readWifiDone(encoded: Uint8Array, request: 'set' | 'apply'): number | null {
  const kind = request === 'set' ? 3 : 5;
  const outer = new ProtobufFields(encoded);
  return outer.integer(1) === kind ? outer.message(10 + kind).integer(1) : null;
}

export type WifiProgress =
  | { state: 'connected'; address: string }
  | { state: 'connecting' | 'disconnected' }
  | { state: 'failed'; reason: 'refused' | 'not-found' };

export function readWifiProgress(encoded: Uint8Array): WifiProgress | null {
  const outer = new ProtobufFields(encoded);
  if (outer.integer(1) !== 1) return null;
  const reply = outer.message(11);
  const state = reply.integer(2);
  if (state === 0) return { state: 'connected', address: reply.message(11).text(1) };
  if (state === 3) return { state: 'failed', reason: reply.integer(10) === 1 ? 'not-found' : 'refused' };
  return { state: state === 1 ? 'connecting' : 'disconnected' };
}

/** Scans (wifi_scan.proto). A board sends only a few results at a time, because its buffers are small. */
export const encodeScanStart = () => wifiMessage(0, message(integer(1, 1), integer(3, 0), integer(4, 120)));
export const encodeScanStatusRequest = () => wifiMessage(2, nothing);
export const encodeScanResultsRequest = (from: number, count: number) =>
  wifiMessage(4, message(integer(1, from), integer(2, count)));

export function readScanStatus(encoded: Uint8Array): { over: boolean; count: number } | null {
  const outer = new ProtobufFields(encoded);
  if (outer.integer(1) !== 3) return null;
  const reply = outer.message(13);
  return { over: reply.integer(1) !== 0, count: reply.integer(2) };
}

export function readScanResults(
  encoded: Uint8Array,
): { ssid: string; dbm: number; secured: boolean }[] | null {
  const outer = new ProtobufFields(encoded);
  if (outer.integer(1) !== 5) return null;
  return outer
    .message(15)
    .messages(1)
    .map((entry) => ({ ssid: entry.text(1), dbm: entry.integer(3), secured: entry.integer(5) !== 0 }));
}
