import { mkdir, readFile } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Agent, request } from 'undici';
import { digestOf } from '../../src/lib/core/crypto.js';
import { deferred } from '../../src/lib/core/tasks.js';
import type { Clock } from '../../src/lib/core/time.js';
import type { DeviceEvent } from '../../src/lib/device/events.js';
import type { DeviceIdentity } from '../../src/lib/device/identity/identity.js';
import type { Desired, Reported } from '../../src/lib/device/protocol/messages.js';
import type { UpdateCheck } from '../../src/lib/device/update/types.js';
import { createVirtualDevice } from '../../src/lib/device/virtual/device.js';
import { createFlash, type Flash } from '../../src/lib/device/virtual/flash.js';
import { flashBytesFor } from '../../src/lib/device/virtual/store.js';
import type { TrustMemory } from '../../src/lib/device/virtual/trust.js';
import type { Envelope } from '../../src/lib/formats/manifest/envelope.js';
import { signManifest, type UnsignedManifest } from '../../src/lib/formats/manifest/manifest.js';
import { readIdentity } from '../../src/lib/provision/held-identity.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { openSink } from '../../src/lib/stream/open.js';
import { testPlatform } from './platform.js';
import { anyRuntime, quickClock } from './update.js';

/** Answers a request from the device; the device receives only this response. */
export type Answer = (res: ServerResponse) => void | Promise<void>;

/** An attack on a device: the request sent to it and the content served for that request. */
export interface Attempt {
  desired: Desired;
  /** Responses that the mirror serves, by path. Content at all other paths comes from the registry. */
  serve?: Record<string, Answer>;
  /** Checks that the device skips. */
  unchecked?: readonly UpdateCheck[];
  /** The device's flash; blank by default. */
  flash?: Flash;
  trustMemory?: TrustMemory;
  clock?: Clock;
  /** Properties of the device that differ from the default. */
  identity?: Partial<DeviceIdentity>;
}

export const json =
  (value: unknown): Answer =>
  (res) => {
    res.setHeader('content-type', 'application/json').end(JSON.stringify(value));
  };
export const raw =
  (bytes: Uint8Array): Answer =>
  (res) => {
    res.end(bytes);
  };

export const newFlash = () => createFlash({ bytes: flashBytesFor(64 * 1024) });

/** Deterministic bytes that differ for each seed. */
export const someBytes = (seed: number, length = 9000) =>
  Uint8Array.from({ length }, (_, i) => (i * 31 + seed * 7) & 0xff);

export interface Forged {
  envelope: Envelope;
  bytes: Uint8Array;
  desired: Desired;
  /** The manifest and bytes, as served by a mirror. */
  serve: Record<string, Answer>;
}

let rollouts = 0;

/** Creates a manifest for these bytes signed with this key, the request for it, and the paths that serve both. */
export function forged(bytes: Uint8Array, key: string, changes: Partial<UnsignedManifest> = {}): Forged {
  const sequence = changes.sequence ?? 1;
  const manifest: UnsignedManifest = {
    ...{ spec: 'aiot-manifest/1', role: 'release', kind: 'model', name: 'motion' },
    ...{ version: sequence, sequence, floor: 0, issued: Date.now(), expires: null, deviceTypes: ['virtual'] },
    artifacts: [{ name: 'model.aiot', digest: digestOf(bytes), bytes: bytes.length }],
    ...changes,
  };
  const { kind, name, version } = manifest;
  const path = `/api/v1/manifests/${sequence}`;
  const envelope = signManifest(manifest, key);
  return {
    envelope,
    bytes,
    desired: { rollout: `attack_${++rollouts}`, kind, name, version, sequence, manifest: path },
    serve: { [path]: json(envelope), [`/api/v1/blobs/${digestOf(bytes)}`]: raw(bytes) },
  };
}

/**
 * Opens a lab: a registry, a virtual device that belongs to it, and an attacker between the two who has the platform's TLS key and
 * its operator's token.
 */
export async function openLab() {
  const own = await testPlatform();
  const out = join(own.folder, 'victim');
  await mkdir(out, { recursive: true });
  await provisionDevice({ client: own.client, name: 'victim', type: 'virtual', out });
  const identity = await readIdentity(out);
  const pki = join(own.folder, 'data', 'pki');
  const [cert, key] = await Promise.all(
    ['server.crt', 'server.key'].map((file) => readFile(join(pki, file), 'utf8')),
  );
  const registry = new Agent({ connect: { ca: own.ca } });
  let serve: Record<string, Answer> = {};
  const mirror = createServer({ ...(cert ? { cert } : {}), ...(key ? { key } : {}) }, (req, res) => {
    const url = req.url ?? '/';
    res.setMaxListeners(0).on('error', () => {});
    const answer = serve[url];
    const done = answer ? answer(res) : forward(url, req.headers.range, res);
    Promise.resolve(done).catch(() => res.destroy());
  });
  const forward = async (path: string, range: string | undefined, res: ServerResponse) => {
    const reply = await request(`${own.platform.urls.http}${path}`, {
      dispatcher: registry,
      headers: { authorization: `Bearer ${own.token}`, ...(range === undefined ? {} : { range }) },
    });
    const { 'content-range': got } = reply.headers;
    res.writeHead(reply.statusCode, got === undefined ? {} : { 'content-range': String(got) });
    res.end(Buffer.from(await reply.body.arrayBuffer()));
  };
  await new Promise<void>((done) => mirror.listen(0, '127.0.0.1', done));
  const { hostname } = new URL(own.platform.urls.http);
  const origin = `https://${hostname}:${(mirror.address() as AddressInfo).port}`;
  const { url, options } = {
    url: `${own.platform.urls.mqtts}/`,
    options: { ca: own.ca, username: 'operator', password: own.token },
  };
  const broker = await openSink(url, options);

  return {
    own,
    origin,
    identity,
    /** The folder of the device's identity. */
    folder: out,
    /** Sets the content that the mirror serves from now on, unless an attempt overrides it. */
    serve(served: Record<string, Answer>) {
      serve = served;
    },
    /** Requests a version from a device over the real broker. */
    async wish(desired: Desired) {
      await broker.write([
        { topic: 'aiot/v1/victim/desired', payload: Buffer.from(JSON.stringify(desired)) },
      ]);
    },
    /** Requests a version from the device over the real broker, serves it the attacker's content, and waits for the result. */
    async attempt({
      desired,
      serve: served = {},
      unchecked,
      flash,
      identity: other,
      trustMemory,
      clock,
    }: Attempt): Promise<Reported> {
      serve = served;
      const ended = deferred<Reported>();
      const onEvent = (event: DeviceEvent) => {
        if (event.event !== 'reported' || event.reported.rollout !== desired.rollout) return;
        const { state, error } = event.reported;
        if (state === 'COMMITTED' || (error && (state === 'IDLE' || state === 'ROLLED_BACK')))
          ended.resolve(event.reported);
      };
      const device = await createVirtualDevice({
        identity: { ...identity, urls: { ...identity.urls, http: origin }, ...other },
        runtime: anyRuntime,
        clock: clock ?? quickClock,
        ...(trustMemory ? { trustMemory } : {}),
        onEvent,
        flash: flash ?? newFlash(),
        ...(unchecked ? { unchecked } : {}),
      });
      try {
        await device.connect();
        await this.wish(desired);
        return await ended.promise;
      } finally {
        await device.stop();
      }
    },
    async close() {
      await broker.close();
      await registry.close();
      mirror.closeAllConnections();
      await new Promise((done) => mirror.close(done));
      await own.stop();
    },
  };
}
export type Lab = Awaited<ReturnType<typeof openLab>>;
