import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AiotError, systemCode } from '../../core/errors.js';
import { readText } from '../../core/files.js';
import { runProgram } from '../../core/process.js';
import {
  type BootKeyKind,
  type BootSigner,
  bootHash,
  bootKeyKind,
} from '../../formats/esp-image/secure-boot.js';

/** A private key in a hardware security module, identified by a URI (RFC 7512). */
interface Pkcs11Key {
  uri: string;
  /** The module's library for PKCS#11. */
  module: string;
  token: string;
  label: string | null;
  /** Hex digits. */
  id: string | null;
  /** File with the PIN; null = AIOT_PKCS11_PIN. */
  pinFile: string | null;
}

export const isPkcs11 = (text: string) => text.startsWith('pkcs11:');

const pinVariable = 'AIOT_PKCS11_PIN';
/** A smart card may wait until the user touches a button. */
const toolMs = 120_000;
const example =
  "For example: 'pkcs11:token=plant;object=boot?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:pin.txt'";

/**
 * Opens a key for signing by reading its public part. The private part never leaves the module.
 * @throws AIOT_USAGE for an invalid URI, AIOT_PROGRAM_NOT_FOUND without pkcs11-tool, AIOT_PKCS11_FAILED
 */
export async function pkcs11Signer(uri: string): Promise<BootSigner> {
  const key = parsePkcs11(uri);
  const { publicKey, id } = await publicPartOf(key);
  const pin = await pinOf(key);
  return {
    name: uri,
    publicKey,
    sign: async (data, kind) =>
      await inFolder(async (folder) => {
        const [input, output] = [join(folder, 'digest'), join(folder, 'signature')];
        await writeFile(input, createHash(bootHash(kind)).update(data).digest());
        const args = ['--login', '--pin', `env:${pinVariable}`, '--sign', ...mechanisms[kind]];
        await runPkcs11(key, [...args, '--id', id, '--input-file', input, '--output-file', output], pin);
        return await resultOf(output, uri);
      }),
  };
}

/** @throws AIOT_USAGE, AIOT_PROGRAM_NOT_FOUND, AIOT_PKCS11_FAILED */
export async function pkcs11PublicKey(uri: string): Promise<KeyObject> {
  return (await publicPartOf(parsePkcs11(uri))).publicKey;
}

/** The public key, and the ID of the key pair. pkcs11-tool finds a key for signing only by its ID. */
async function publicPartOf(key: Pkcs11Key): Promise<{ publicKey: KeyObject; id: string }> {
  const { uri, label, id } = key;
  const failed = (why: string, cause?: unknown) =>
    new AiotError('AIOT_PKCS11_FAILED', `${uri}: ${why}`, { cause });
  const listed = (await runPkcs11(key, ['--list-objects', '--type', 'pubkey'])).split(
    /^(?=Public Key Object)/m,
  );
  const found = listed
    .map((text) => ({
      id: /^ +ID: +([0-9a-f]+)$/m.exec(text)?.[1],
      label: /^ +label: +(.*)$/m.exec(text)?.[1],
      point: /^ +EC_POINT: +([0-9a-f]+)$/m.exec(text)?.[1],
      curve: /^ +EC_PARAMS: +([0-9a-f]+)$/m.exec(text)?.[1],
      isKey: text.startsWith('Public Key Object'),
    }))
    .filter(
      (each) => each.isKey && (label === null || each.label === label) && (id === null || each.id === id),
    );
  const [only, ...others] = found;
  if (only === undefined) throw failed('the token has no such public key');
  if (others.length > 0) throw failed(`${found.length} keys match; add the id to the URI`);
  if (only.id === undefined) throw failed('the key has no ID, which pkcs11-tool needs for signing');
  try {
    const publicKey =
      only.point === undefined
        ? await readRsaKey(key, only.id)
        : createPublicKey({ key: ellipticKey(only.point, only.curve), format: 'jwk' });
    bootKeyKind(publicKey, uri);
    return { publicKey, id: only.id };
  } catch (cause) {
    if (cause instanceof AiotError) throw cause;
    throw failed('the public key cannot be read', cause);
  }
}

async function readRsaKey(key: Pkcs11Key, id: string): Promise<KeyObject> {
  const der = await inFolder(async (folder) => {
    const output = join(folder, 'public.der');
    await runPkcs11(key, ['--read-object', '--type', 'pubkey', '--id', id, '--output-file', output]);
    return await resultOf(output, key.uri);
  });
  return createPublicKey({ key: der, format: 'der', type: 'spki' });
}

/** The curves' object identifiers in DER, hex. */
const curves: Record<string, { crv: string; width: number }> = {
  '06082a8648ce3d030107': { crv: 'P-256', width: 32 },
  '06052b81040022': { crv: 'P-384', width: 48 },
};

/**
 * A key on an elliptic curve from its attributes (PKCS#11, "CKA_EC_POINT"). pkcs11-tool 0.23 cannot read keys on P-384.
 * @param point an uncompressed point in a DER octet string, hex @throws RangeError
 */
function ellipticKey(point: string, curve = ''): { kty: 'EC'; crv: string; x: string; y: string } {
  const { crv, width } = curves[curve] ?? { crv: '', width: 0 };
  const bytes = Buffer.from(point, 'hex').subarray(-2 * width);
  if (width === 0 || !point.endsWith(`04${bytes.toString('hex')}`))
    throw new RangeError('unknown curve or point');
  const part = (from: number) => bytes.subarray(from, from + width).toString('base64url');
  return { kty: 'EC', crv, x: part(0), y: part(width) };
}

/** Mechanisms that sign a digest. The salt of RSA-PSS is as long as the hash. */
const mechanisms: Record<BootKeyKind, string[]> = {
  'rsa-3072': [
    ...['--mechanism', 'RSA-PKCS-PSS', '--hash-algorithm', 'SHA256'],
    ...['--mgf', 'MGF1-SHA256', '--salt-len', '32'],
  ],
  'ecdsa-p256': ['--mechanism', 'ECDSA', '--signature-format', 'rs'],
  'ecdsa-p384': ['--mechanism', 'ECDSA', '--signature-format', 'rs'],
};

/**
 * Reads a PKCS#11 URI (RFC 7512): the attributes token, object and id, and the query attributes module-path and pin-source.
 * @throws AIOT_USAGE
 */
export function parsePkcs11(uri: string): Pkcs11Key {
  const [path = '', query = ''] = uri.slice('pkcs11:'.length).split('?');
  const given = new Map<string, Buffer>();
  for (const part of [...path.split(';'), ...query.split('&')]) {
    if (part === '') continue;
    const [name = '', value] = part.split('=');
    if (name === 'pin-value')
      throw invalid('the PIN is not part of the URI, because command lines are visible to other users');
    if (!attributes.includes(name) || value === undefined || value === '')
      throw invalid(`unknown or empty attribute ${name}`);
    if (given.has(name)) throw invalid(`${name} is given twice`);
    given.set(name, percentDecoded(value));
  }
  const text = (name: string) => given.get(name)?.toString();
  const [token, label, id] = [text('token'), text('object'), given.get('id')];
  if (token === undefined) throw invalid('the token is missing');
  if (label === undefined && id === undefined) throw invalid('the object or its id is missing');
  const module = text('module-path') ?? process.env.AIOT_PKCS11_MODULE;
  if (!module)
    throw invalid("the path of the module's library is missing: module-path or AIOT_PKCS11_MODULE");
  const source = text('pin-source');
  if (source !== undefined && /^[a-z][a-z0-9+.-]*:/.test(source) && !source.startsWith('file:'))
    throw invalid('pin-source must be a file');
  return {
    ...{ uri, module, token },
    label: label ?? null,
    id: id?.toString('hex') ?? null,
    pinFile: source?.replace(/^file:(\/\/)?/, '') ?? null,
  };
}

const attributes = ['token', 'object', 'id', 'module-path', 'pin-source'];

const invalid = (why: string) => new AiotError('AIOT_USAGE', `PKCS#11 URI: ${why}`, { next: example });

function percentDecoded(text: string): Buffer {
  const parts = text.match(/%[0-9a-fA-F]{2}|[^%]+|%/g) ?? [];
  return Buffer.concat(
    parts.map((part) => {
      if (part === '%') throw invalid('a % is not followed by two hex digits');
      return part.startsWith('%') ? Buffer.from(part.slice(1), 'hex') : Buffer.from(part);
    }),
  );
}

/** @throws AIOT_USAGE, AIOT_FILE_NOT_FOUND */
async function pinOf({ pinFile }: Pkcs11Key): Promise<string> {
  const pin = pinFile === null ? process.env[pinVariable] : (await readText(pinFile)).replace(/\r?\n$/, '');
  if (pin) return pin;
  throw new AiotError('AIOT_USAGE', 'the PIN of the token is required', {
    next: `Set ${pinVariable}, or specify a file in the URI: pin-source=file:pin.txt`,
  });
}

/** @throws AIOT_PROGRAM_NOT_FOUND, AIOT_PKCS11_FAILED, AIOT_PKCS11_PIN */
async function runPkcs11({ uri, module, token }: Pkcs11Key, args: string[], pin?: string): Promise<string> {
  const { [pinVariable]: _, ...others } = process.env;
  const end = await runProgram('pkcs11-tool', ['--module', module, '--token-label', token, ...args], {
    // The PIN is not an argument, because command lines are visible to other users.
    env: { ...others, LC_ALL: 'C', ...(pin === undefined ? {} : { [pinVariable]: pin }) },
    timeoutMs: toolMs,
    // Without this option, the tool would prompt on stdin.
    input: new Uint8Array(),
  }).catch((cause: unknown) => {
    if (systemCode(cause) !== 'ENOENT') throw cause;
    throw new AiotError('AIOT_PROGRAM_NOT_FOUND', 'PKCS#11 keys need pkcs11-tool, which is not installed', {
      ...{ cause, next: 'On Debian: apt-get install opensc' },
    });
  });
  if (end.code === 0) return end.stdout;
  const reason = /CKR_\w+/.exec(end.stderr)?.[0];
  if (reason?.startsWith('CKR_PIN_'))
    throw new AiotError('AIOT_PKCS11_PIN', `${uri}: the token rejected the PIN (${reason})`);
  const lines = end.stderr.split('\n').map((line) =>
    line
      .replace(/^error: /, '')
      .replace('sc_dlopen failed:', 'the library cannot be loaded:')
      .trim(),
  );
  const said = lines.find((line) => line !== '' && !line.startsWith('Using ') && !line.startsWith('PSS '));
  const why = end.timedOut
    ? `no response within ${toolMs / 1000} s`
    : (said ?? (end.endedBy ? `pkcs11-tool was ended by ${end.endedBy}` : `code ${end.code}`));
  throw new AiotError('AIOT_PKCS11_FAILED', `${uri}: ${why}`);
}

async function resultOf(path: string, uri: string): Promise<Buffer> {
  return await readFile(path).catch((cause: unknown) => {
    throw new AiotError('AIOT_PKCS11_FAILED', `${uri}: pkcs11-tool wrote nothing`, { cause });
  });
}

async function inFolder<T>(task: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'aiot-pkcs11-'));
  try {
    return await task(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
