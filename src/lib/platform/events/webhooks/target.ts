import { lookup as lookupAll } from 'node:dns/promises';
import { isIP, type LookupFunction } from 'node:net';
import { AiotError } from '../../../core/index.js';
import { isPublic } from './addresses.js';

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

/** Looks up all addresses of a name; a port for tests. */
export type Resolve = (
  host: string,
  options: { all: true },
) => Promise<{ address: string; family: number }[]>;

/**
 * The lookup of the connection itself: the addresses judged are those connected to, so a name whose answer changes between two lookups
 * (DNS rebinding) gains nothing. @throws AIOT_WEBHOOK_TARGET (to the callback) where one of its addresses is not public
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
    `${host} is this machine, in a private network or of a special purpose`,
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
