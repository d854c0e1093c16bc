import { createHmac, randomBytes } from 'node:crypto';
import { isIP } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { createSecureContext, type SecureContext } from 'node:tls';
import { generateKeyPair, hasCode, inParallel, sha256Hex } from '../../core/index.js';
import { certificateRequest } from '../../provision/index.js';
import { mostSimulated, type RegistryClient } from '../../registry/index.js';
import type { Signer } from '../protocol/proof.js';
import type { Door } from './line.js';

/** Certificates that are asked for at a time, and addresses of the loopback that the connections are spread over. */
const asked = 8;
const addresses = 5;

/** A fleet that was ended a moment ago is online until the platform has heard of its last connection; ms. */
const leavingMs = 5000;
const askAgainMs = 500;

export interface EnlistOptions {
  client: RegistryClient;
  names: readonly string[];
  type: string;
  tags: Record<string, string>;
  /** Of the devices: who shows a certificate. */
  mutual: number;
  urls: { mqtts: string; mqtt?: string | undefined };
  /** PEM */
  ca: string | undefined;
  signal?: AbortSignal | undefined;
}

export interface Enlisted {
  doors: Door[];
  made: number;
  mutual: number;
  plain: number;
}

/**
 * Registers the devices that are not there yet, and gives all of them new credentials that nobody keeps: a secret each, or a
 * certificate. Where the platform has a plain listener, which is on the loopback alone, those with a secret come by it.
 * @throws AIOT_DEVICE_EXISTS, AIOT_DEVICE_ONLINE where another simulation runs them
 */
export async function enlist(options: EnlistOptions): Promise<Enlisted> {
  const { client, names, type, tags, mutual, urls, ca, signal } = options;
  const seed = randomBytes(32);
  const secretOf = (name: string) => createHmac('sha256', seed).update(name).digest('base64url');
  let made = 0;
  for (let i = 0; i < names.length; i += mostSimulated) {
    signal?.throwIfAborted();
    const devices = names
      .slice(i, i + mostSimulated)
      .map((name) => ({ name, digest: sha256Hex(secretOf(name)) }));
    made += (await onceGone(() => client.devices.simulate({ type, tags, devices }), signal)).made;
  }
  const trusted = ca === undefined ? {} : { ca };
  const contexts = new Map<string, SecureContext>();
  const signers = new Map<string, Signer>();
  const withCertificate = names.filter((_, i) => Math.floor((i + 1) * mutual) > Math.floor(i * mutual));
  await inParallel(
    withCertificate,
    asked,
    async (name) => {
      const key = generateKeyPair().privatePem;
      const { certificate } = await client.devices.rotate(name, await certificateRequest(key, name), true);
      signers.set(name, { name, key, certificate });
      contexts.set(name, createSecureContext({ key, cert: certificate, ...trusted }));
    },
    signal,
  );
  const everybody = urls.mqtt === undefined ? createSecureContext(trusted) : null;
  const doors = names.map((name, index): Door => {
    const context = contexts.get(name) ?? everybody;
    const { hostname, port } = new URL(context ? urls.mqtts : urls.mqtt!);
    const own = contexts.has(name) ? {} : { secret: secretOf(name) };
    const secure = context ? { secure: { servername: isIP(hostname) ? '' : hostname, context } } : {};
    const at = { host: hostname, port: Number(port), ...addressOf(hostname, index) };
    return { ...at, ...secure, ...own, signer: signers.get(name) };
  });
  const plain = urls.mqtt === undefined ? 0 : names.length - contexts.size;
  return { doors, made, mutual: contexts.size, plain };
}

async function onceGone<T>(ask: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  for (const until = performance.now() + leavingMs; ; ) {
    try {
      return await ask();
    } catch (error) {
      if (!hasCode(error, 'AIOT_DEVICE_ONLINE') || performance.now() > until) throw error;
    }
    await delay(askAgainMs, undefined, { signal });
  }
}

/** Each address of the loopback has ports of its own; Linux alone has more than one. */
function addressOf(host: string, index: number): Pick<Door, 'localAddress'> {
  if (process.platform !== 'linux' || (host !== '127.0.0.1' && host !== 'localhost')) return {};
  return { localAddress: `127.0.0.${1 + (index % addresses)}` };
}
