import { AiotError } from '../core/index.js';
import { peekManifest, signManifest } from '../formats/index.js';
import type { Rollout } from './api.js';
import type { RegistryClient } from './client.js';
import { requireTrusted } from './trusted.js';

export interface DeployOptions {
  client: RegistryClient;
  model: { name: string; version: number };
  selector: string;
  /** PKCS#8 PEM; used only when the manifest has to be signed anew. */
  signingKey: () => Promise<string>;
  /** ms since 1970, for the manifest signed anew. */
  now: number;
  /** A device that has not ended by then counts as failed, ms. */
  deadlineMs?: number;
  signal?: AbortSignal;
  /** The rollout is under way: from now on it goes on at the platform, whatever becomes of who waits for it. */
  onStarted?: (id: string) => void;
  onProgress?: (rollout: Rollout) => void;
  /** Devices of the rollout that are not online when it starts: it waits for them until the deadline. */
  onOffline?: (names: string[]) => void;
}

/**
 * A rollout in one wave that is waited for. A version whose manifest is not the newest (a rollback, for instance) is
 * signed anew with the next sequence first: a device takes no sequence below the one it has.
 * @returns the rollout when each device has ended, well or not
 * @throws AIOT_NOT_FOUND, AIOT_ROLLOUT_EMPTY, AIOT_SELECTOR_INVALID, AIOT_KEY_NOT_FOUND, AIOT_INTERRUPTED
 */
export async function deployModel(options: DeployOptions): Promise<Rollout> {
  const { client, model, selector, deadlineMs, signal } = options;
  const sequence = await newestSequence(options);
  signal?.throwIfAborted();
  const rollout = await client.rollouts.start({
    model,
    sequence,
    selector,
    ...(deadlineMs === undefined ? {} : { deadlineMs }),
  });
  return await followRollout(rollout, options);
}

/** Waits for a rollout that has begun. @throws AIOT_INTERRUPTED */
export async function followRollout(
  rollout: Rollout,
  options: Omit<DeployOptions, 'model' | 'signingKey' | 'now'>,
): Promise<Rollout> {
  const { signal, onProgress } = options;
  options.onStarted?.(rollout.id);
  onProgress?.(rollout);
  try {
    return await follow(rollout, options);
  } catch (error) {
    if (!signal?.aborted) throw error;
    throw new AiotError('AIOT_INTERRUPTED', `the rollout ${rollout.id} goes on at the platform`, {
      next: 'aiot device list',
      cause: error,
    });
  }
}

async function follow(
  started: Rollout,
  options: Omit<DeployOptions, 'model' | 'signingKey' | 'now'>,
): Promise<Rollout> {
  const { client, signal, onProgress, onOffline } = options;
  let rollout = started;
  if (onOffline) {
    const online = new Set(
      (await client.devices.list()).flatMap(({ name, online }) => (online ? [name] : [])),
    );
    const missing = rollout.devices.map(({ name }) => name).filter((name) => !online.has(name));
    if (missing.length > 0) onOffline(missing);
  }
  for await (const next of client.rollouts.watch(rollout.id, signal ? { signal } : {})) {
    rollout = next;
    onProgress?.(rollout);
  }
  return rollout;
}

async function newestSequence({ client, model, signingKey, now }: DeployOptions): Promise<number> {
  const card = await client.models.get(model.name, model.version);
  requireTrusted(card);
  if (card.kind === 'network') {
    throw new AiotError(
      'AIOT_MODEL_UNFIT',
      `${model.name}@${model.version} is a network alone: nobody said what goes into it, so no device can run it`,
      { next: 'Push a project instead of a .tflite file: aiot model push' },
    );
  }
  const next = await client.models.next(model.name);
  const manifest = peekManifest(await client.manifests.get(card.sequence));
  const expired = manifest.expires !== null && manifest.expires <= now;
  if (card.sequence + 1 === next.sequence && !expired) return card.sequence;
  const key = await signingKey();
  // Signed anew it is valid as long again as it was at first.
  const expires = manifest.expires === null ? null : now + (manifest.expires - manifest.issued);
  const signed = signManifest({ ...manifest, sequence: next.sequence, issued: now, expires }, key);
  return (await client.manifests.post(signed)).sequence;
}

/** Tells of each device's step once: for `onProgress`. */
export function deployNews(tell: (line: string) => void): (rollout: Rollout) => void {
  const told = new Map<string, string>();
  return ({ devices }) => {
    for (const { name, state, step, error } of devices) {
      const line = `${name}: ${state}${step ? `, ${step}` : ''}${error ? ` (${error.code}: ${error.message})` : ''}`;
      if (told.get(name) !== line) tell(line);
      told.set(name, line);
    }
  };
}

/** Exit code of a rollout that has ended: 0 all took it, 3 some did, 1 none did. */
export function deployExit({ devices }: Rollout): 0 | 1 | 3 {
  const committed = devices.filter(({ state }) => state === 'committed').length;
  if (committed === devices.length) return 0;
  return committed === 0 ? 1 : 3;
}
