import type { Rollout, RolloutRequest } from '../../src/lib/api/rollouts/schema.js';
import { digestOf } from '../../src/lib/core/crypto.js';
import { signManifest } from '../../src/lib/formats/manifest/manifest.js';
import type { TestPlatform } from './platform.js';
import { type Answer, type Asked, ask } from './raw-http.js';
import { oneWave } from './rollout.js';

/** A handwritten update client of a device. */
export interface DdiClient {
  name: string;
  /** The target token of the device. */
  secret: string;
  /** Sends a request. `path` is relative to the device's base; `authorization` replaces its token. */
  call(path: string, asked?: Asked & { authorization?: string | null }): Promise<Answer>;
  /** Polls for the requested action. */
  poll(): Promise<{ _links: Partial<Record<string, { href: string }>>; config: unknown }>;
  /** Returns the number at the end of a link in the polled response; 0 = no such link. */
  offered(link?: string): Promise<number>;
  say(path: string, execution: string, finished?: string, ...details: string[]): Promise<number>;
}

/** Registers a device of this type, and creates its secret. */
export async function ddiClient(own: TestPlatform, name: string, type = 'swupdate'): Promise<DdiClient> {
  await own.client.claims.make({ name, type });
  const { secret } = await own.client.secrets.make(name);
  return clientOf(own, name, secret ?? '');
}

export function clientOf(own: TestPlatform, name: string, secret: string): DdiClient {
  const call: DdiClient['call'] = (path, { authorization, ...asked } = {}) => {
    const shown = authorization === undefined ? `TargetToken ${secret}` : authorization;
    const headers = { ...(shown === null ? {} : { authorization: shown }), ...asked.headers };
    return ask(own, `/default/controller/v1/${name}${path}`, { ...asked, token: '', headers });
  };
  const poll = async () => JSON.parse((await call('')).text) as Awaited<ReturnType<DdiClient['poll']>>;
  return {
    ...{ name, secret, call, poll },
    offered: async (link = 'deploymentBase') =>
      Number((await poll())._links[link]?.href.split('/').at(-1) ?? 0),
    say: async (path, execution, finished = 'none', ...details) => {
      const status = { execution, result: { finished }, details };
      return (await call(path, { method: 'POST', body: JSON.stringify({ id: 'x', status }) })).status;
    },
  };
}

/** Pushes a bundle, signed by the operator. Resolves with the release for a rollout. */
export async function pushBundle(
  { client, key }: TestPlatform,
  name: string,
  content: Buffer,
  types = ['swupdate'],
) {
  const artifact = { name: 'bundle.swu', digest: digestOf(content), bytes: content.length };
  await client.blobs.put(artifact.digest, content);
  const next = await client.firmware.next(name);
  const said = { name, ...next, floor: 0, issued: Date.now(), expires: null, deviceTypes: types };
  const manifest = { spec: 'aiot-manifest/1', role: 'release', kind: 'firmware', ...said } as const;
  await client.firmware.push(name, signManifest({ ...manifest, artifacts: [artifact] }, key));
  return { kind: 'firmware' as const, name, ...next };
}

/** Content that begins like a .swu file. */
export const anyBundle = (text = 'hello') => Buffer.from(`070702${text.repeat(100)}`);

export function rollOut(
  { client }: TestPlatform,
  release: Awaited<ReturnType<typeof pushBundle>>,
  selector = 'all',
  policy: Partial<RolloutRequest['policy']> = {},
): Promise<Rollout> {
  const request = oneWave({ ...release, selector });
  return client.rollouts.start({ ...request, policy: { ...request.policy, ...policy } });
}
