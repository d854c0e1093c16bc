import { lookup as lookupAll } from 'node:dns/promises';
import { isIP, type LookupFunction } from 'node:net';
import { AiotError } from '../../core/errors.js';

/** @throws AIOT_WEBHOOK_TARGET for an invalid target URL, or an internal one that was not allowed */
export function checkTarget(url: string, allowPrivate: boolean): URL {
  const target = URL.canParse(url) ? new URL(url) : null;
  if (!target || !['http:', 'https:'].includes(target.protocol)) {
    throw refused('expected an https URL');
  }
  if (target.username !== '' || target.password !== '') {
    throw refused(
      'a user name and password in the URL would be visible to everyone',
      'Remove them: the signature identifies the sender.',
    );
  }
  if (allowPrivate) return target;
  if (target.protocol !== 'https:') throw refused('expected https, so that others cannot read the data');
  const host = bareHost(target);
  const local = /(^|\.)(localhost|local|internal|home\.arpa)\.?$/i.test(host);
  if (local || (isIP(host) !== 0 && !isPublic(host))) throw inPrivate(host);
  return target;
}

/** Resolves all addresses of a name; replaceable in tests. */
export type Resolve = (
  host: string,
  options: { all: true },
) => Promise<{ address: string; family: number }[]>;

/**
 * A lookup function for the connection. The connection uses exactly the addresses that were checked, which defeats
 * names whose address changes between lookups (DNS rebinding).
 * @throws AIOT_WEBHOOK_TARGET (to the callback) if one of the name's addresses is not public
 */
export function lookupFor(allowPrivate: boolean, resolve: Resolve = lookupAll): LookupFunction {
  return (host, options, callback) => {
    resolve(host, { ...options, all: true }).then(
      (found) => {
        if (!allowPrivate && !found.every(({ address }) => isPublic(address)))
          return callback(inPrivate(host), []);
        if (options.all) return callback(null, found);
        const [first] = found;
        callback(null, first?.address ?? '', first?.family);
      },
      (error) => callback(error, []),
    );
  };
}

function bareHost({ hostname }: URL): string {
  return hostname.replace(/^\[|\]$/g, '');
}

function inPrivate(host: string): AiotError {
  return refused(
    `${host} is this machine, on a private network, or reserved`,
    'An operator can allow it with --allow-private.',
  );
}

function refused(why: string, next?: string): AiotError {
  return new AiotError(
    'AIOT_WEBHOOK_TARGET',
    `cannot send to this target: ${why}`,
    next === undefined ? {} : { next },
  );
}

/**
 * Every row of IANA's registries of special-purpose addresses (RFC 6890, RFC 8190; IPv4 and IPv6, as of 2025) and of multicast. The
 * globally reachable rows are included: they are anycast relays and sinks, never an individual server.
 */
export const specialRanges: Readonly<Record<'ipv4' | 'ipv6', readonly string[]>> = {
  ipv4: [
    '0.0.0.0/8', // this network (RFC 791)
    '0.0.0.0/32', // this host (RFC 1122)
    '10.0.0.0/8', // private use (RFC 1918)
    '100.64.0.0/10', // shared by carrier-grade NAT (RFC 6598)
    '127.0.0.0/8', // loopback (RFC 1122)
    '169.254.0.0/16', // link-local, and the metadata services of clouds (RFC 3927)
    '172.16.0.0/12', // private use (RFC 1918)
    '192.0.0.0/24', // IETF protocol assignments (RFC 6890)
    '192.0.0.0/29', // IPv4 service continuity, DS-Lite (RFC 7335)
    '192.0.0.8/32', // dummy address (RFC 7600)
    '192.0.0.9/32', // Port Control Protocol anycast (RFC 7723)
    '192.0.0.10/32', // TURN anycast (RFC 8155)
    '192.0.0.170/32', // discovery of NAT64 and DNS64 (RFC 7050)
    '192.0.0.171/32',
    '192.0.2.0/24', // documentation (RFC 5737)
    '192.31.196.0/24', // AS112 (RFC 7535)
    '192.52.193.0/24', // automatic multicast tunneling (RFC 7450)
    '192.88.99.0/24', // 6to4 relay anycast (RFC 7526)
    '192.88.99.2/32', // 6a44 relay anycast (RFC 6751)
    '192.168.0.0/16', // private use (RFC 1918)
    '192.175.48.0/24', // AS112 delegation (RFC 7534)
    '198.18.0.0/15', // benchmarking (RFC 2544)
    '198.51.100.0/24', // documentation (RFC 5737)
    '203.0.113.0/24', // documentation (RFC 5737)
    '224.0.0.0/4', // multicast (RFC 5771)
    '240.0.0.0/4', // reserved (RFC 1112)
    '255.255.255.255/32', // limited broadcast (RFC 919)
  ],
  ipv6: [
    '::/128', // unspecified (RFC 4291)
    '::1/128', // loopback (RFC 4291)
    '::/96', // IPv4-compatible, deprecated (RFC 4291)
    '::ffff:0:0:0/96', // IPv4-translated (RFC 2765, RFC 7915)
    '64:ff9b:1::/48', // translation within a network (RFC 8215)
    '100::/64', // discard only (RFC 6666)
    '100:0:0:1::/64', // dummy prefix (RFC 9780)
    '2001::/23', // IETF protocol assignments (RFC 2928)
    '2001::/32', // Teredo (RFC 4380)
    '2001:1::1/128', // Port Control Protocol anycast (RFC 7723)
    '2001:1::2/128', // TURN anycast (RFC 8155)
    '2001:1::3/128', // DNS-SD registration anycast (RFC 9665)
    '2001:2::/48', // benchmarking (RFC 5180)
    '2001:3::/32', // automatic multicast tunneling (RFC 7450)
    '2001:4:112::/48', // AS112 (RFC 7535)
    '2001:10::/28', // ORCHID, deprecated (RFC 4843)
    '2001:20::/28', // ORCHIDv2 (RFC 7343)
    '2001:30::/28', // drone remote ids (RFC 9374)
    '2001:db8::/32', // documentation (RFC 3849)
    '2002::/16', // 6to4 (RFC 3056)
    '2620:4f:8000::/48', // AS112 delegation (RFC 7534)
    '3fff::/20', // documentation (RFC 9637)
    '5f00::/16', // segment routing (RFC 9602)
    'fc00::/7', // unique local (RFC 4193)
    'fe80::/10', // link-local (RFC 4291)
    'fec0::/10', // site-local, deprecated (RFC 3879)
    'ff00::/8', // multicast (RFC 4291)
  ],
};

/** IPv6 addresses that a host or a NAT64 gateway translates to the IPv4 address in their last 32 bits; that address is checked instead. */
const embedding = [
  '::ffff:0:0/96', // IPv4-mapped (RFC 4291)
  '64:ff9b::/96', // NAT64, the well-known prefix (RFC 6052)
].map(rangeOf);

/**
 * The assigned part of the IPv6 address space (RFC 4291, 2.4). All other addresses are rejected, even if assigned
 * later.
 */
const globalUnicast = rangeOf('2000::/3');

const special = { 4: specialRanges.ipv4.map(rangeOf), 6: specialRanges.ipv6.map(rangeOf) };

interface Range {
  first: bigint;
  /** Number of address bits after the prefix. */
  rest: bigint;
}

/** Whether an address is on the public internet: not special-purpose, and for IPv6 within the assigned range. False for an invalid address. */
export function isPublic(address: string): boolean {
  const family = isIP(address);
  if (family === 0) return false;
  const value = numberOfAddress(address);
  if (family === 4) return isPublicIpv4(value);
  if (embedding.some((range) => contains(range, value))) return isPublicIpv4(value & 0xffffffffn);
  return contains(globalUnicast, value) && !special[6].some((range) => contains(range, value));
}

function isPublicIpv4(value: bigint): boolean {
  return !special[4].some((range) => contains(range, value));
}

function contains({ first, rest }: Range, value: bigint): boolean {
  return value >> rest === first >> rest;
}

function rangeOf(cidr: string): Range {
  const [address = '', bits] = cidr.split('/');
  return { first: numberOfAddress(address), rest: BigInt((isIP(address) === 4 ? 32 : 128) - Number(bits)) };
}

/** An address as a number of 32 or 128 bits. A zone (`%eth0`) is ignored. */
function numberOfAddress(address: string): bigint {
  const [plain = ''] = address.split('%');
  if (!plain.includes(':')) return numberOf(plain.split('.'), 10, 8n);
  // An IPv4 tail in dotted decimal represents two groups.
  const hex = plain.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, a, b, c, d) =>
    [256 * Number(a) + Number(b), 256 * Number(c) + Number(d)].map((group) => group.toString(16)).join(':'),
  );
  const [head = [], tail] = hex.split('::').map((part) => (part === '' ? [] : part.split(':')));
  const zeros = tail === undefined ? 0 : 8 - head.length - tail.length;
  return numberOf([...head, ...Array<string>(zeros).fill('0'), ...(tail ?? [])], 16, 16n);
}

function numberOf(digits: readonly string[], radix: number, bits: bigint): bigint {
  return digits.reduce((sum, digit) => (sum << bits) | BigInt(Number.parseInt(digit, radix)), 0n);
}
