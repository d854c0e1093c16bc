import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { isIPv4 } from 'node:net';
import { AiotError } from '../core/errors.js';
import { readBytes, readText } from '../core/files.js';
import { nearest } from '../core/text.js';
import { type ChipName, chipNames } from '../formats/esp-image/chips.js';
import { decryptNvs, readNvsKeys } from '../formats/nvs/crypt.js';
import { nvsKeysOfHmac } from '../formats/nvs/hmac.js';
import { readNvs } from '../formats/nvs/read.js';
import type { OldNvs } from './chip-image.js';

/** Contents of a chip's image, apart from its identity. */
export interface ChipOptions {
  chip: ChipName;
  /** Wi-Fi network; null = configured later, on the board. */
  wifi: Wifi | null;
  /** Format of the NVS pages. */
  nvsVersion: 1 | 2;
  /** The partition table as CSV, or the bytes read from a board; null = the default table. */
  table: string | Uint8Array | null;
  /** Size of the board's flash, bytes. */
  flashBytes: number;
  encrypt: boolean;
  /** Keys that the chip derives from an HMAC key, 64 bytes; they are stored nowhere in the flash. Absent = none. */
  derivedKeys?: Uint8Array | undefined;
  /**
   * The device's current NVS. Its entries are kept unless the new image sets them. If it is encrypted, the new NVS is encrypted as well.
   */
  old?: OldNvs | null;
}

export interface Wifi {
  ssid: string;
  password: string;
  /** Login of an enterprise network, which has no password of its own. */
  login?: WifiLogin | undefined;
  /** Absent = the addresses come from DHCP. */
  fixed?: FixedAddress | undefined;
}

/** Ways to log in to an enterprise network. TTLS encloses MSCHAPv2 or, for `ttls-pap`, the password itself. */
export const wifiLoginMethods = ['peap', 'ttls', 'ttls-pap', 'tls'] as const;

/** A login for an enterprise network (802.1X). Certificates and key are PEM text. */
export interface WifiLogin {
  method: (typeof wifiLoginMethods)[number];
  /** The name that the network sees before the connection is encrypted. */
  identity: string;
  /** CA of the network's RADIUS server. */
  ca: string;
  /** For all methods but `tls`. */
  user?: { name: string; password: string };
  /** For `tls`. */
  client?: { certificate: string; key: string };
}

/** IPv4 addresses of a board, each as four decimal numbers. */
export interface FixedAddress {
  address: string;
  mask: string;
  gateway: string;
  dns: string;
}

/** Flash size of common boards, bytes. */
export const usualFlashBytes = 4 * 1024 ** 2;

/** The chip that a device type names; null if the type is not a chip. */
export function chipOfType(type: string): ChipName | null {
  return chipNames.find((name) => name === type) ?? null;
}

/**
 * Validates a network's name and password by the rules of 802.11. A name has 1 to 32 bytes. A password has 8 to 63 printable
 * characters (WPA passphrase) or 64 hex digits (the key itself); an open network has none.
 * @throws AIOT_USAGE, without showing the password
 */
export function checkWifi(ssid: string, password: string): Wifi {
  const bytes = Buffer.byteLength(ssid);
  if (bytes < 1 || bytes > 32 || ssid.includes('\0')) {
    throw new AiotError('AIOT_USAGE', `expected a Wi-Fi name of 1 to 32 bytes, got ${bytes}`);
  }
  if (password === '' || /^[\x20-\x7e]{8,63}$/.test(password) || /^[0-9a-f]{64}$/i.test(password)) {
    return { ssid, password };
  }
  throw new AiotError(
    'AIOT_USAGE',
    `expected a Wi-Fi password of 8 to 63 printable characters (or 64 hex digits), got ${passwordProblem(password)}`,
  );
}

/** The reason why a password is invalid, without showing it. */
function passwordProblem(password: string): string {
  const lines = password.split(/\r\n|\r|\n/).length;
  if (lines > 1) return `${lines} lines`;
  if (/[^\x20-\x7e]/.test(password)) return 'one with characters that are not printable ASCII';
  return String(password.length);
}

/**
 * Validates fixed addresses.
 * @param address with the length of the network's prefix, such as `10.0.0.7/24` @param dns absent = the gateway
 * @throws AIOT_USAGE
 */
export function fixedAddress(address: string, gateway: string, dns = gateway): FixedAddress {
  const [host = '', prefix = ''] = address.split('/');
  const length = /^([1-9]|[12]\d|30)$/.test(prefix) ? Number(prefix) : null;
  const number = ipv4Number(host);
  if (length === null || number === null)
    throw new AiotError('AIOT_USAGE', `expected an address such as 10.0.0.7/24, got ${address}`);
  const hosts = 2 ** (32 - length);
  if (number % hosts === 0 || number % hosts === hosts - 1)
    throw new AiotError('AIOT_USAGE', `${host} is the network's own address or its broadcast address`);
  const router = ipv4Number(gateway);
  if (router === null || router === number || Math.floor(router / hosts) !== Math.floor(number / hosts))
    throw new AiotError('AIOT_USAGE', `expected a gateway in the network of ${address}, got ${gateway}`);
  if (ipv4Number(dns) === null)
    throw new AiotError('AIOT_USAGE', `expected an IPv4 address for DNS, got ${dns}`);
  return { address: host, mask: ipv4Text(2 ** 32 - hosts), gateway, dns };
}

function ipv4Number(text: string): number | null {
  if (!isIPv4(text)) return null;
  return text.split('.').reduce((number, part) => number * 256 + Number(part), 0);
}

const ipv4Text = (number: number) =>
  [24, 16, 8, 0].map((shift) => Math.floor(number / 2 ** shift) % 256).join('.');

/** A requested login for an enterprise network, before any file is read. */
export interface LoginRequest {
  method?: WifiLogin['method'] | undefined;
  identity?: string | undefined;
  username?: string | undefined;
  /** Files with PEM text. */
  ca?: string | undefined;
  certificate?: string | undefined;
  key?: string | undefined;
}

/** Requested image contents, before any file is read. */
export interface ImageRequest {
  ssid?: string | undefined;
  login?: LoginRequest | undefined;
  /** Fixed address with the prefix's length; undefined = DHCP. */
  address?: string | undefined;
  gateway?: string | undefined;
  dns?: string | undefined;
  /** File that contains the password; if absent, `password` is used. */
  passwordFile?: string | undefined;
  /** The password from the environment. */
  password?: string | undefined;
  nvsVersion: 1 | 2;
  /** File with the partition table, CSV. */
  partitions?: string | undefined;
  flashBytes?: number | undefined;
  encrypt: boolean;
  /** File of the HMAC key from which the chip derives the keys of its NVS. */
  nvsKey?: string | undefined;
}

/** Settings shared by all devices of a run. If `table` is null, the default table or the board's own table is used. */
export type CommonImage = Omit<ChipOptions, 'chip'>;

/** Reads the files of a request. @throws AIOT_USAGE, AIOT_FILE_NOT_FOUND */
export async function imageRequest(asked: ImageRequest): Promise<CommonImage> {
  const { nvsVersion, partitions, encrypt, nvsKey, flashBytes = usualFlashBytes } = asked;
  return {
    ...{ nvsVersion, encrypt, flashBytes },
    ...(nvsKey !== undefined && { derivedKeys: nvsKeysOfHmac(await readBytes(nvsKey)) }),
    wifi: await wifiOf(asked),
    table: partitions === undefined ? null : await readText(partitions),
  };
}

async function wifiOf(asked: ImageRequest): Promise<Wifi | null> {
  const { ssid, passwordFile, password, address, gateway, dns, login = {} } = asked;
  if ((address === undefined) !== (gateway === undefined) || (address === undefined && dns !== undefined))
    throw new AiotError('AIOT_USAGE', 'a fixed address needs its network and gateway', {
      next: 'For example: --wifi-address 10.0.0.7/24 --wifi-gateway 10.0.0.1',
    });
  if (ssid === undefined) {
    if (address !== undefined)
      throw new AiotError('AIOT_USAGE', "a fixed address also needs the network's name", {
        next: 'Add it: --wifi-ssid NAME',
      });
    requireNoLogin(login, 'an enterprise network also needs its name', 'Add it: --wifi-ssid NAME');
    if (passwordFile === undefined) return null;
    throw new AiotError('AIOT_USAGE', "a Wi-Fi password also needs the network's name", {
      next: 'Add it: --wifi-ssid NAME',
    });
  }
  // Spaces are part of a password; the line ending is not.
  const told = passwordFile === undefined ? password : (await readText(passwordFile)).replace(/\r?\n$/, '');
  const wifi =
    login.method === undefined
      ? checkWifi(ssid, told ?? '')
      : { ...checkWifi(ssid, ''), login: await loginOf(login.method, login, told ?? '') };
  if (login.method === undefined)
    requireNoLogin(login, 'a login needs its method', 'Add it: --wifi-eap peap, ttls, ttls-pap or tls');
  return address === undefined || gateway === undefined
    ? wifi
    : { ...wifi, fixed: fixedAddress(address, gateway, dns) };
}

/** @throws AIOT_USAGE if any part of a login is given */
function requireNoLogin(login: LoginRequest, what: string, next: string): void {
  if (Object.values(login).some((value) => value !== undefined))
    throw new AiotError('AIOT_USAGE', what, { next });
}

/** Longest identity, name and password that the board's Wi-Fi driver accepts, bytes. */
const loginBytes = 127;

/**
 * Reads and checks a login for an enterprise network. The CA is required: without it, a board would send its password to any access
 * point of the same name.
 * @throws AIOT_USAGE, without showing the password or the key; AIOT_FILE_NOT_FOUND
 */
async function loginOf(
  method: WifiLogin['method'],
  { identity, username, ca, certificate, key }: LoginRequest,
  password: string,
): Promise<WifiLogin> {
  const refuse = (what: string, next?: string): never => {
    throw new AiotError('AIOT_USAGE', what, next === undefined ? {} : { next });
  };
  if (ca === undefined)
    return refuse("an enterprise network needs its server's CA", 'Add it: --wifi-ca FILE');
  const short = (text: string, what: string) => {
    const bytes = Buffer.byteLength(text);
    if (bytes < 1 || bytes > loginBytes || /[\0\r\n]/.test(text))
      refuse(`expected ${what} of 1 to ${loginBytes} bytes in one line, got ${bytes} bytes`);
    return text;
  };
  const authority = { method, ca: certificateIn(await readText(ca), ca).pem };
  if (method !== 'tls') {
    if (certificate !== undefined || key !== undefined)
      refuse(
        `${method} needs no certificate of the board`,
        'Use --wifi-eap tls, or omit --wifi-certificate and --wifi-key.',
      );
    if (username === undefined) return refuse(`${method} needs a user name`, 'Add it: --wifi-username NAME');
    const user = { name: short(username, 'a user name'), password: short(password, 'a Wi-Fi password') };
    return { ...authority, identity: short(identity ?? 'anonymous', 'an identity'), user };
  }
  if (username !== undefined || password !== '')
    refuse('tls needs neither a user name nor a password', 'Omit --wifi-username and the password.');
  if (certificate === undefined || key === undefined)
    return refuse('tls needs a certificate and its key', 'Add them: --wifi-certificate FILE --wifi-key FILE');
  const own = certificateIn(await readText(certificate), certificate);
  const secret = privateKeyIn(await readText(key), key);
  if (!own.parsed.checkPrivateKey(secret.parsed))
    refuse(`the key in ${key} does not belong to the certificate in ${certificate}`);
  const name = /^CN=(.*)$/m.exec(own.parsed.subject)?.[1];
  const client = { certificate: own.pem, key: secret.pem };
  return { ...authority, identity: short(identity ?? name ?? 'anonymous', 'an identity'), client };
}

function certificateIn(pem: string, file: string): { pem: string; parsed: X509Certificate } {
  try {
    return { pem: pem.trim().concat('\n'), parsed: new X509Certificate(pem) };
  } catch (cause) {
    throw new AiotError('AIOT_USAGE', `${file} is not a certificate (PEM)`, { cause });
  }
}

function privateKeyIn(pem: string, file: string): { pem: string; parsed: KeyObject } {
  try {
    return { pem: pem.trim().concat('\n'), parsed: createPrivateKey(pem) };
  } catch {
    // The cause is dropped, because it could contain parts of the key.
    throw new AiotError('AIOT_USAGE', `${file} is not a private key (PEM) without a passphrase`);
  }
}

/**
 * Parses a device type entered by a user. Chip names are case-insensitive. A name that is one typo away from a chip name is rejected,
 * because the device would otherwise be treated as a computer. Any other name is allowed.
 * @param strict false = the chip is specified separately
 * @throws AIOT_USAGE
 */
export function deviceType(text: string, strict = true): string {
  const lower = text.toLowerCase();
  const chip = chipNames.find((name) => name === lower);
  if (chip !== undefined) return chip;
  const near = strict ? chipNames.find((name) => isOneSlip(lower, name)) : undefined;
  if (near === undefined) return text;
  throw new AiotError('AIOT_USAGE', `unknown chip "${text}". Did you mean ${near}?`, {
    next: `Use --type ${near}. To keep your own type name, add --chip ${near}.`,
  });
}

/**
 * The known type of which a new one is probably a misspelling: one or two letters differ, but no digit, because different digits are
 * usually intentional. Undefined for a known type and for a chip.
 */
export function similarType(type: string, known: readonly string[]): string | undefined {
  if (chipOfType(type.toLowerCase()) !== null || known.includes(type)) return undefined;
  const digits = (text: string) => text.replace(/\D/g, '');
  return nearest(
    type,
    known.filter((each) => digits(each) === digits(type)),
    2,
  );
}

/** Whether the texts differ by at most one inserted, missing or replaced letter, or by one swapped pair. */
function isOneSlip(a: string, b: string): boolean {
  if (a === b || Math.abs(a.length - b.length) > 1) return a === b;
  let from = 0;
  while (from < a.length && a[from] === b[from]) from++;
  const [left, right] = [a.slice(from), b.slice(from)];
  return (
    left.slice(1) === right.slice(1) ||
    left.slice(1) === right ||
    left === right.slice(1) ||
    (left[0] === right[1] && left[1] === right[0] && left.slice(2) === right.slice(2))
  );
}

/** The Wi-Fi network that the image configures, without the password; null = none. */
export function wifiTold({ wifi, old }: Pick<ChipOptions, 'wifi' | 'old'>) {
  if (wifi) {
    const { ssid, password, fixed, login } = wifi;
    const open = password === '' && login === undefined;
    return { ssid, open, ...(login && { login: login.method }), ...(fixed && { address: fixed.address }) };
  }
  return old ? wifiIn(old) : null;
}

/** The network that is already stored in the NVS to which a new certificate is written. */
function wifiIn({ nvs, keys }: OldNvs): { ssid: string; open: boolean; login?: WifiLogin['method'] } | null {
  const { entries } = readNvs(keys === null ? nvs : decryptNvs(nvs, readNvsKeys(keys)));
  const text = (key: string): string => {
    const found = entries.find((entry) => entry.namespace === 'wifi' && entry.key === key);
    return found?.type === 'string' ? found.value : '';
  };
  const ssid = text('ssid');
  const login = text('eap') as WifiLogin['method'] | '';
  if (ssid === '') return null;
  return { ssid, open: text('password') === '' && login === '', ...(login !== '' && { login }) };
}
