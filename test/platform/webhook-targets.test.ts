import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  checkTarget,
  isPublic,
  lookupFor,
  type Resolve,
  specialRanges,
} from '../../src/lib/platform/events/webhook-targets.js';
import { deliver } from '../../src/lib/platform/events/webhooks.js';
import { type Certificates, makeCertificates } from '../support/certificates.js';

/**
 * IANA's IPv4 and IPv6 Special-Purpose Address Registries (2025) and the multicast ranges, copied by hand: the first and last address of
 * each row, and the public addresses just outside (null if a neighbor is special too).
 */
const rows: Readonly<Record<string, readonly [string, string, string | null, string | null]>> = {
  '0.0.0.0/8': ['0.0.0.0', '0.255.255.255', null, '1.0.0.0'],
  '0.0.0.0/32': ['0.0.0.0', '0.0.0.0', null, null],
  '10.0.0.0/8': ['10.0.0.0', '10.255.255.255', '9.255.255.255', '11.0.0.0'],
  '100.64.0.0/10': ['100.64.0.0', '100.127.255.255', '100.63.255.255', '100.128.0.0'],
  '127.0.0.0/8': ['127.0.0.0', '127.255.255.255', '126.255.255.255', '128.0.0.0'],
  '169.254.0.0/16': ['169.254.0.0', '169.254.255.255', '169.253.255.255', '169.255.0.0'],
  '172.16.0.0/12': ['172.16.0.0', '172.31.255.255', '172.15.255.255', '172.32.0.0'],
  '192.0.0.0/24': ['192.0.0.0', '192.0.0.255', '191.255.255.255', '192.0.1.0'],
  '192.0.0.0/29': ['192.0.0.0', '192.0.0.7', null, null],
  '192.0.0.8/32': ['192.0.0.8', '192.0.0.8', null, null],
  '192.0.0.9/32': ['192.0.0.9', '192.0.0.9', null, null],
  '192.0.0.10/32': ['192.0.0.10', '192.0.0.10', null, null],
  '192.0.0.170/32': ['192.0.0.170', '192.0.0.170', null, null],
  '192.0.0.171/32': ['192.0.0.171', '192.0.0.171', null, null],
  '192.0.2.0/24': ['192.0.2.0', '192.0.2.255', '192.0.1.255', '192.0.3.0'],
  '192.31.196.0/24': ['192.31.196.0', '192.31.196.255', '192.31.195.255', '192.31.197.0'],
  '192.52.193.0/24': ['192.52.193.0', '192.52.193.255', '192.52.192.255', '192.52.194.0'],
  '192.88.99.0/24': ['192.88.99.0', '192.88.99.255', '192.88.98.255', '192.88.100.0'],
  '192.88.99.2/32': ['192.88.99.2', '192.88.99.2', null, null],
  '192.168.0.0/16': ['192.168.0.0', '192.168.255.255', '192.167.255.255', '192.169.0.0'],
  '192.175.48.0/24': ['192.175.48.0', '192.175.48.255', '192.175.47.255', '192.175.49.0'],
  '198.18.0.0/15': ['198.18.0.0', '198.19.255.255', '198.17.255.255', '198.20.0.0'],
  '198.51.100.0/24': ['198.51.100.0', '198.51.100.255', '198.51.99.255', '198.51.101.0'],
  '203.0.113.0/24': ['203.0.113.0', '203.0.113.255', '203.0.112.255', '203.0.114.0'],
  '224.0.0.0/4': ['224.0.0.0', '239.255.255.255', '223.255.255.255', null],
  '240.0.0.0/4': ['240.0.0.0', '255.255.255.255', null, null],
  '255.255.255.255/32': ['255.255.255.255', '255.255.255.255', null, null],
  '::/128': ['::', '0:0:0:0:0:0:0:0', null, null],
  '::1/128': ['::1', '0:0:0:0:0:0:0:1', null, null],
  '::/96': ['::', '::ffff:ffff', null, null],
  '::ffff:0:0:0/96': ['::ffff:0:0:0', '::ffff:0:255.255.255.255', null, null],
  '64:ff9b:1::/48': ['64:ff9b:1::', '64:ff9b:1:ffff:ffff:ffff:ffff:ffff', null, null],
  '100::/64': ['100::', '100::ffff:ffff:ffff:ffff', null, null],
  '100:0:0:1::/64': ['100:0:0:1::', '100:0:0:1:ffff:ffff:ffff:ffff', null, null],
  '2001::/23': ['2001::', '2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff', '2000:ffff::1', '2001:200::'],
  '2001::/32': ['2001::', '2001:0:ffff:ffff:ffff:ffff:ffff:ffff', null, null],
  '2001:1::1/128': ['2001:1::1', '2001:1::1', null, null],
  '2001:1::2/128': ['2001:1::2', '2001:1::2', null, null],
  '2001:1::3/128': ['2001:1::3', '2001:1::3', null, null],
  '2001:2::/48': ['2001:2::', '2001:2:0:ffff:ffff:ffff:ffff:ffff', null, null],
  '2001:3::/32': ['2001:3::', '2001:3:ffff:ffff:ffff:ffff:ffff:ffff', null, null],
  '2001:4:112::/48': ['2001:4:112::', '2001:4:112:ffff:ffff:ffff:ffff:ffff', null, null],
  '2001:10::/28': ['2001:10::', '2001:1f:ffff:ffff:ffff:ffff:ffff:ffff', null, null],
  '2001:20::/28': ['2001:20::', '2001:2f:ffff:ffff:ffff:ffff:ffff:ffff', null, null],
  '2001:30::/28': ['2001:30::', '2001:3f:ffff:ffff:ffff:ffff:ffff:ffff', null, null],
  '2001:db8::/32': ['2001:db8::', '2001:db8:ffff:ffff:ffff:ffff:ffff:ffff', '2001:db7::1', '2001:db9::'],
  '2002::/16': ['2002::', '2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff', '2001:ffff::1', '2003::'],
  '2620:4f:8000::/48': [
    '2620:4f:8000::',
    '2620:4f:8000:ffff:ffff:ffff:ffff:ffff',
    '2620:4f:7fff:ffff:ffff:ffff:ffff:ffff',
    '2620:4f:8001::',
  ],
  '3fff::/20': ['3fff::', '3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff', '3ffe:ffff::1', '3fff:1000::'],
  '5f00::/16': ['5f00::', '5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff', null, null],
  'fc00::/7': ['fc00::', 'fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', null, null],
  'fe80::/10': ['fe80::', 'febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff', null, null],
  'fec0::/10': ['fec0::', 'feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', null, null],
  'ff00::/8': ['ff00::', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', null, null],
};

const urlOf = (address: string) => `https://${address.includes(':') ? `[${address}]` : address}/hook`;
const refusal = (url: string) => {
  try {
    checkTarget(url, false);
    return 'accepted';
  } catch (error) {
    return Reflect.get(error as object, 'code');
  }
};

describe('a special-purpose address', () => {
  it.each(Object.entries(rows))('is rejected as a webhook target: %s', (_, [first, last, before, after]) => {
    for (const address of [first, last]) {
      expect(isPublic(address), address).toBe(false);
      expect(refusal(urlOf(address)), address).toBe('AIOT_WEBHOOK_TARGET');
    }
    for (const address of [before, after].filter((one) => one !== null)) {
      expect(isPublic(address), address).toBe(true);
      expect(refusal(urlOf(address)), address).toBe('accepted');
    }
  });

  it('has a row in our table, which has no other rows', () => {
    expect([...specialRanges.ipv4, ...specialRanges.ipv6].sort()).toEqual(Object.keys(rows).sort());
  });

  it.each([
    '::ffff:127.0.0.1',
    '::ffff:7f00:1',
    '0:0:0:0:0:ffff:10.0.0.1',
    '::ffff:0:127.0.0.1',
    '::ffff:0:8.8.8.8',
    '::127.0.0.1',
    '::8.8.8.8',
    '64:ff9b::127.0.0.1',
    '64:ff9b::a9fe:a9fe',
    '64:ff9b:1::8.8.8.8',
    '2002:7f00:1::',
    '2002:808:808::1',
    '2001:0:4136:e378:8000:63bf:3fff:fdd2',
    'fe80::1%eth0',
    '4000::1',
    '1fff::1',
    'e000::1',
    '0200::1',
  ])('is rejected in another spelling, or if it is unassigned: %s', (address) => {
    expect(isPublic(address)).toBe(false);
  });

  it.each([
    '8.8.8.8',
    '::ffff:8.8.8.8',
    '64:ff9b::808:808',
    '2606:4700:4700::1111',
    '2a00:1450:4001:831::200e',
  ])('does not include %s', (address) => {
    expect(isPublic(address)).toBe(true);
  });

  it.each([
    'https://0x7f.1/',
    'https://2130706433/',
    'https://017700000001/',
    'https://127.1/',
    'https://[::1]/',
  ])('is recognized in the spelling %s', (url) => {
    expect(refusal(url)).toBe('AIOT_WEBHOOK_TARGET');
  });
});

describe('a name that resolves to an internal address', () => {
  let certificates: Certificates;
  let server: Server;
  let port: number;
  let connections = 0;
  beforeAll(async () => {
    certificates = await makeCertificates('IP:127.0.0.1,DNS:hook.example');
    server = createServer(
      { key: await certificates.read('server.key'), cert: await certificates.read('server.crt') },
      (_request, answer) => answer.end(),
    );
    server.on('connection', () => connections++);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    port = (server.address() as AddressInfo).port;
  });
  afterAll(async () => {
    server.close();
    await certificates.remove();
  });

  const send = (resolve: Resolve, allowPrivate = false) =>
    deliver({
      ...{ url: `https://hook.example:${port}/`, secrets: [`whsec_${'A'.repeat(44)}`], allowPrivate },
      ...{ id: 'evt_1', body: '{}', now: Date.now(), signal: AbortSignal.timeout(10_000), resolve },
    });
  const answers = (...all: string[][]): Resolve => {
    let asked = 0;
    return async () => {
      const next = all[Math.min(asked++, all.length - 1)] ?? [];
      return next.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));
    };
  };

  it('is rejected when connecting, whatever it resolved to before', async () => {
    const rebinding = answers(['93.184.215.14'], ['127.0.0.1']);
    // This lookup happens when the webhook is added.
    await rebinding('hook.example', { all: true });
    expect(await send(rebinding)).toMatchObject({
      delivered: false,
      error: expect.stringMatching(/private/),
    });
    for (const resolve of [
      answers(['93.184.215.14', '127.0.0.1']),
      answers(['::ffff:127.0.0.1']),
      answers(['::ffff:0:127.0.0.1']),
      answers(['64:ff9b::127.0.0.1']),
    ])
      expect(await send(resolve)).toMatchObject({
        delivered: false,
        error: expect.stringMatching(/private/),
      });
    expect(connections).toBe(0);
  });

  it('is connected to if an operator allowed it', async () => {
    // Its certificate is from an untrusted CA, so the connection goes no further.
    expect(await send(answers(['127.0.0.1']), true)).toMatchObject({ delivered: false });
    expect(connections).toBe(1);
  });

  it('is also rejected through the system’s resolver', async () => {
    const look = (allow: boolean) =>
      new Promise((resolve) =>
        lookupFor(allow)('localhost', {}, (error, address) =>
          resolve(error ? Reflect.get(error, 'code') : address),
        ),
      );
    expect(await look(false)).toBe('AIOT_WEBHOOK_TARGET');
    expect(['127.0.0.1', '::1']).toContain(await look(true));
  });
});
