import { createPrivateKey, X509Certificate } from 'node:crypto';
import { chmod, copyFile, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { systemCode } from '../../core/index.js';
import type { Finding } from './finding.js';

/** What is the owner's alone: folders (0700) and files (0600) of a data folder. */
const privateFolders = ['blobs', 'broker', 'journal'];
const privateFiles = ['state.db', 'pki/ca.key', 'pki/server.key', 'pki/secret'];

/** Files that a platform cannot do without, once it was used. */
const needed = ['pki/ca.crt', 'pki/ca.key'];

/**
 * Whether keys and certificates belong together, and whether other users of the machine are kept out.
 * @param passphrase of a CA key that is encrypted; without it such a key is not looked into
 */
export async function verifyKeys(data: string, passphrase: string | undefined): Promise<Finding[]> {
  const findings: Finding[] = [];
  const found = (place: string, problem: string, repairable = true) =>
    void findings.push({ part: 'key', place, problem, repairable });
  for (const place of [...privateFolders, ...privateFiles]) {
    const mode = await modeOf(join(data, place));
    if (mode !== null && (mode & 0o077) !== 0)
      found(place, `other users may use it: its mode is ${mode.toString(8)}`);
  }
  for (const place of needed) if ((await modeOf(join(data, place))) === null) found(place, 'it is missing');
  const ca = await certificateOf(data, 'pki/ca.crt', found);
  if (ca) await verifyPair(data, { certificate: ca, place: 'pki/ca.key', passphrase }, found);
  const server = await certificateOf(data, 'pki/server.crt', found);
  if (server) {
    await verifyPair(data, { certificate: server, place: 'pki/server.key', passphrase: undefined }, found);
    if (ca && !signed(server, ca)) found('pki/server.crt', 'it was not signed by the CA in pki/ca.crt');
  }
  return findings;
}

type Found = (place: string, problem: string, repairable?: boolean) => void;

async function certificateOf(data: string, place: string, found: Found): Promise<X509Certificate | null> {
  const text = await readFile(join(data, place)).catch(absent);
  if (text === null) return null;
  try {
    return new X509Certificate(text);
  } catch {
    found(place, 'it is no certificate in PEM');
    return null;
  }
}

async function verifyPair(
  data: string,
  {
    certificate,
    place,
    passphrase,
  }: { certificate: X509Certificate; place: string; passphrase: string | undefined },
  found: Found,
): Promise<void> {
  const text = await readFile(join(data, place), 'utf8').catch(absent);
  if (text === null) {
    if (!needed.includes(place)) found(place, 'it is missing');
    return;
  }
  const sealed = text.includes('BEGIN ENCRYPTED PRIVATE KEY');
  if (sealed && passphrase === undefined) return;
  try {
    const key = createPrivateKey({
      key: text,
      ...(sealed && passphrase !== undefined ? { passphrase } : {}),
    });
    if (!certificate.checkPrivateKey(key)) found(place, 'it is not the key of the certificate beside it');
  } catch {
    found(place, sealed ? 'AIOT_CA_PASSPHRASE does not open it' : 'it is no private key in PEM');
  }
}

function signed(server: X509Certificate, ca: X509Certificate): boolean {
  try {
    return server.verify(ca.publicKey);
  } catch {
    return false;
  }
}

/**
 * Closes what is open to others, or takes the file from the backup's.
 * @param from a folder with the backup's pki, opened; null = there is no backup
 */
export async function repairKey(
  data: string,
  { place, problem }: Finding,
  from: string | null,
): Promise<boolean> {
  const path = join(data, place);
  if (problem.startsWith('other users')) {
    await chmod(path, privateFolders.includes(place) ? 0o700 : 0o600);
    return true;
  }
  if (from === null) return false;
  // A key and its certificate go together.
  const pair = place.includes('/ca.') ? ['pki/ca.key', 'pki/ca.crt'] : ['pki/server.key', 'pki/server.crt'];
  for (const each of pair) if ((await modeOf(join(from, each))) === null) return false;
  for (const each of pair) {
    await copyFile(join(from, each), join(data, each));
    await chmod(join(data, each), each.endsWith('.key') ? 0o600 : 0o644);
  }
  return true;
}

async function modeOf(path: string): Promise<number | null> {
  const found = await stat(path).catch(absent);
  return found && found.mode & 0o777;
}

function absent(error: unknown): null {
  if (systemCode(error) === 'ENOENT') return null;
  throw error;
}
