import { lookup as lookupAll } from 'node:dns/promises';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { AiotError } from '../../../core/index.js';

/** What is not the internet: this machine, private and link-local networks, and what nobody is reached by (IANA's registries of special-purpose addresses, RFC 6890). */
const inside = new BlockList();
for (const [network, bits] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 3],
] as const)
  inside.addSubnet(network, bits, 'ipv4');
for (const [network, bits] of [
  ['::', 96],
  ['64:ff9b::', 96],
  ['64:ff9b:1::', 48],
  ['100::', 64],
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['fc00::', 7],
  ['fe80::', 10],
  ['fec0::', 10],
  ['ff00::', 8],
] as const)
  inside.addSubnet(network, bits, 'ipv6');

/** Whether an address is of the internet. IPv4 written as IPv6 (::ffff:a.b.c.d) is looked at as IPv4. */
export function isPublic(address: string): boolean {
  const family = isIP(address);
  return family !== 0 && !inside.check(address, family === 4 ? 'ipv4' : 'ipv6');
}

/** @throws AIOT_WEBHOOK_TARGET for what is no URL of a target, or one inside that was not allowed */
export function checkTarget(url: string, allowPrivate: boolean): URL {
  const target = URL.canParse(url) ? new URL(url) : null;
  if (!target || !['http:', 'https:'].includes(target.protocol)) {
    throw refused('expected an https URL');
  }
  if (target.username !== '' || target.password !== '') {
    throw refused(
      'a name and password in the URL would be shown to everybody',
      'Leave them out: the signature says who sends.',
    );
  }
  if (allowPrivate) return target;
  if (target.protocol !== 'https:') throw refused('expected https: others could read what is sent');
  const host = bareHost(target);
  const local = /(^|\.)(localhost|local|internal|home\.arpa)\.?$/i.test(host);
  if (local || (isIP(host) !== 0 && !isPublic(host))) throw inPrivate(host);
  return target;
}

/**
 * How its name is looked up: with the connection that is made to the address, so that no later answer of the name's server leads
 * somewhere else. @throws AIOT_WEBHOOK_TARGET (to the callback) where one of its addresses is inside
 */
export function lookupFor(allowPrivate: boolean): LookupFunction {
  return (host, options, callback) => {
    lookupAll(host, { ...options, all: true }).then(
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
    `${host} is this machine, or in a private network`,
    'An operator may allow it: --allow-private',
  );
}

function refused(why: string, next?: string): AiotError {
  return new AiotError(
    'AIOT_WEBHOOK_TARGET',
    `nothing can be sent there: ${why}`,
    next === undefined ? {} : { next },
  );
}
