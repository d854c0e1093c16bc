import { AiotError, type ErrorCode, timeLimit } from '../../core/index.js';
import {
  type Envelope,
  envelopeSchema,
  type Manifest,
  payloadDigest,
  peekManifest,
  type TrustRoot,
  unpublished,
  verifyManifest,
} from '../../formats/index.js';
import type { Reported } from '../protocol/messages.js';
import { PowerCut } from '../sim/flash.js';
import { deltaToSlot } from './apply-delta.js';
import { downloadToSlot, retrying } from './download.js';
import type { UpdatePorts } from './ports.js';
import type { UpdateEffect, UpdateEvent } from './types.js';

/** The effects that take time, and answer with an event of their attempt. */
export type JobEffect = Extract<UpdateEffect, { attempt: number }>;

/** What jobs work with: the device's ports, and its state as a report. */
export interface JobPorts extends UpdatePorts {
  reported(): Reported;
}

/** Longest wait for the broker's acknowledgement during a trial, ms. */
const heartbeatTimeoutMs = 60_000;

/** The code that a failure of each job is reported with, when it has none of its own. */
const failureCodes = {
  fetchManifest: 'AIOT_UPDATE_DOWNLOAD',
  fetchBundle: 'AIOT_UPDATE_DOWNLOAD',
  hashSlot: 'AIOT_DIGEST_MISMATCH',
  beginTrial: 'AIOT_UPDATE_TRIAL',
  runGolden: 'AIOT_GOLDEN_MISMATCH',
  sendHeartbeat: 'AIOT_UPDATE_HEARTBEAT',
} as const satisfies Record<JobEffect['type'], ErrorCode>;

/** Does one effect. Failures become an event; only a dead flash is thrown. @throws PowerCut */
export async function runJob(
  effect: JobEffect,
  ports: JobPorts,
  signal: AbortSignal,
  feed: (event: UpdateEvent) => void,
): Promise<void> {
  const { attempt } = effect;
  try {
    feed(await answer(effect, ports, signal, feed));
  } catch (error) {
    if (error instanceof PowerCut) throw error;
    if (signal.aborted) return;
    const code = error instanceof AiotError ? error.code : failureCodes[effect.type];
    const message = error instanceof Error ? error.message : String(error);
    feed({ type: 'failed', attempt, code, message });
  }
}

async function answer(
  effect: JobEffect,
  ports: JobPorts,
  signal: AbortSignal,
  feed: (event: UpdateEvent) => void,
): Promise<UpdateEvent> {
  const { attempt } = effect;
  const { store } = ports;
  switch (effect.type) {
    case 'fetchManifest':
      return { type: 'manifest', attempt, ...(await fetchManifest(effect.path, ports, signal)) };
    case 'fetchBundle': {
      const { slot, digest, bytes, resume, delta } = effect;
      const onErased = () => feed({ type: 'erased', attempt });
      const onProgress = (count: number) => feed({ type: 'progress', attempt, bytes: count });
      const anyLength = ports.traits.unchecked?.has('length') ?? false;
      const job = { slot, digest, bytes, resume, onErased, onProgress };
      if (delta) return byDelta(attempt, deltaToSlot({ ...job, delta }, ports, signal), signal);
      const got = await downloadToSlot({ ...job, anyLength }, ports, signal);
      return { type: 'downloaded', attempt, bytes: got };
    }
    case 'hashSlot':
      return { type: 'hashed', attempt, digest: store.hashSlot(effect.slot, effect.bytes) };
    case 'beginTrial':
      return { type: 'trial', attempt };
    case 'runGolden': {
      const bytes = store.readRecord().slots[effect.slot]?.bytes ?? 0;
      const { vectors, passed } = await ports.runtime.checkGolden(store.readSlot(effect.slot, bytes));
      return { type: 'golden', attempt, vectors, passed };
    }
    case 'sendHeartbeat':
      await ports.heartbeat(ports.reported(), timeLimit(heartbeatTimeoutMs, signal));
      return { type: 'heartbeat', attempt };
  }
}

/** A patch that cannot be had, or makes nothing, is no reason to refuse the release: the whole may come. */
async function byDelta(attempt: number, made: Promise<number>, signal: AbortSignal): Promise<UpdateEvent> {
  try {
    return { type: 'downloaded', attempt, bytes: await made };
  } catch (error) {
    if (!(error instanceof AiotError) || error.retryable || signal.aborted) throw error;
    const { code, message } = error;
    return { type: 'deltaFailed', attempt, code, message };
  }
}

/** The newest trust first, then the manifest, held against both. */
async function fetchManifest(path: string, ports: JobPorts, signal: AbortSignal) {
  const { clock, keeper, source, traits } = ports;
  const refreshed = keeper && (await retrying(clock, signal, () => keeper.refresh(signal)));
  const trust = refreshed?.trust ?? ports.trust;
  if (!trust) throw new AiotError('AIOT_SIGNATURE_INVALID', 'the device has no trust root');
  const envelope = await retrying(clock, signal, () => source.manifest(path, signal));
  const manifest = signedManifest(envelope, trust, ports);
  const { timestamp = null, epoch = 0, now = clock.now() } = refreshed ?? {};
  const payload = payloadDigest(envelope as Envelope);
  const unknown =
    timestamp && !traits.unchecked?.has('published') && unpublished(manifest, payload, timestamp);
  if (unknown) throw new AiotError('AIOT_UPDATE_UNPUBLISHED', unknown);
  return { manifest, now, epoch };
}

function signedManifest(envelope: unknown, trust: TrustRoot, { traits: { unchecked } }: JobPorts): Manifest {
  if (unchecked?.has('signature')) return peekManifest(envelopeSchema.parse(envelope));
  const { release } = trust.roles;
  if (!unchecked?.has('threshold')) return verifyManifest(envelope, trust);
  return verifyManifest(envelope, { ...trust, roles: { release: { ...release, threshold: 1 } } });
}
