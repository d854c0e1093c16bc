import { createHash } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { ErrorCode } from '../../core/catalogue.js';
import { AiotError, errorMaker } from '../../core/errors.js';
import { timeLimit } from '../../core/tasks.js';
import { DeltaDecoder } from '../../formats/delta/apply.js';
import { type Envelope, envelopeSchema, type TrustRoot } from '../../formats/manifest/envelope.js';
import { type Manifest, peekManifest, verifyManifest } from '../../formats/manifest/manifest.js';
import { payloadDigest, unpublished } from '../../formats/manifest/root.js';
import type { Desired, Reported } from '../protocol/messages.js';
import { PowerCut } from '../virtual/flash.js';
import { type DownloadJob, type DownloadPorts, downloadToSlot, retrying } from './download.js';
import { bootUpdate } from './ending.js';
import { reportOf } from './record.js';
import { updateStep } from './step.js';
import type { Delta, UpdateEffect, UpdateEvent, UpdateMachine, UpdatePorts } from './types.js';

const malformed = errorMaker('AIOT_DELTA_MALFORMED', 'the patch: ');

/** Runs the update state machine on a device: passes events to it and carries out its effects in order. */
export interface Updater {
  readonly state: UpdateMachine;
  /** Handles the platform's desired release; null = withdrawn. */
  desire(desired: Desired | null): void;
  /** Rejects the desired release because its shadow cannot run. */
  failShadow(code: ErrorCode, message: string): void;
  /** Reports the state again, as after a reconnect. */
  report(): void;
  /** Resolves when no update is under way. */
  settled(): Promise<void>;
  /** Cancels pending work and waits for it; the flash keeps its state. */
  stop(): Promise<void>;
}

/** A shadow runs until the next desired release, so it does not count as an update in progress. */
function underWay({ job, phase }: UpdateMachine): boolean {
  return job !== null && phase !== 'SHADOW';
}

/** Boots from the flash; resolves when the active model is in use. @throws the errors of `ports.activate` */
export async function startUpdater(ports: UpdatePorts): Promise<Updater> {
  const { store } = ports;
  const traits = { ...ports.traits, slotBytes: store.slotBytes };
  const record = store.readRecord();
  const booted = bootUpdate(record, store.damagedSlots(record), traits);
  let state: UpdateMachine = booted.state;
  let dead = false;
  let controller = new AbortController();
  let job: Promise<void> = Promise.resolve();
  /** Tail of the promise chain that handles events one at a time. */
  let tail: Promise<void> = Promise.resolve();

  const reported = () => reportOf(state, ports.clock.now());
  const jobPorts = { ...ports, reported };

  const die = (error: unknown) => {
    if (dead) return;
    dead = true;
    controller.abort();
    ports.onDead(error);
  };

  const perform = async (effect: UpdateEffect): Promise<void> => {
    switch (effect.type) {
      case 'persist':
        store.writeRecord(effect.record);
        return;
      case 'report':
        ports.report(reported());
        return;
      case 'abort':
        controller.abort();
        await job;
        return;
      case 'abandon': {
        const { active, slots } = state.record;
        const content = active === null ? null : slots[active];
        await ports.abandon?.(active === null || !content ? null : store.readSlot(active, content.bytes));
        return;
      }
      case 'shadow': {
        const content = effect.slot === null ? null : state.record.slots[effect.slot];
        const bundle = effect.slot === null || !content ? null : store.readSlot(effect.slot, content.bytes);
        await ports.shadow?.(bundle, content ?? null);
        return;
      }
      case 'activate': {
        const content = state.record.slots[effect.slot];
        if (content) await ports.activate(store.readSlot(effect.slot, content.bytes), content);
        return;
      }
      default:
        // A job produces events, so it must run outside the queue that handles them.
        controller = new AbortController();
        job = runJob(effect, jobPorts, controller.signal, feed).catch(die);
    }
  };

  const handle = async (event: UpdateEvent): Promise<void> => {
    const step = updateStep(state, event);
    state = step.state;
    for (const effect of step.effects) {
      if (dead) return;
      await perform(effect);
    }
  };

  const feed = (event: UpdateEvent) => {
    tail = tail.then(() => (dead ? undefined : handle(event))).catch(die);
  };

  for (const effect of booted.effects) await perform(effect);

  return {
    get state() {
      return state;
    },
    desire: (desired) => feed(desired ? { type: 'desired', desired } : { type: 'withdrawn' }),
    failShadow: (code, message) => {
      if (state.phase === 'SHADOW') feed({ type: 'failed', attempt: state.attempt, code, message });
    },
    report: () => ports.report(reported()),
    async settled() {
      for (let before: Promise<void> | undefined; before !== tail || (underWay(state) && !dead); ) {
        before = tail;
        await before;
        await job;
        await nextTurn();
      }
    },
    async stop() {
      dead = true;
      controller.abort();
      await Promise.allSettled([tail, job]);
    },
  };
}

/** Effects that take time and result in an event with the same attempt. */
type JobEffect = Extract<UpdateEffect, { attempt: number }>;

/** Dependencies of jobs: the device's ports, and the device's state as a report. */
interface JobPorts extends UpdatePorts {
  reported(): Reported;
}

/** Maximum time to wait for the broker's acknowledgment during a trial, ms. */
const heartbeatTimeoutMs = 60_000;

/** Error codes for failed jobs whose errors have no code. */
const failureCodes = {
  fetchManifest: 'AIOT_UPDATE_DOWNLOAD',
  fetchBundle: 'AIOT_UPDATE_DOWNLOAD',
  hashSlot: 'AIOT_DIGEST_MISMATCH',
  beginTrial: 'AIOT_UPDATE_TRIAL',
  runGolden: 'AIOT_GOLDEN_MISMATCH',
  sendHeartbeat: 'AIOT_UPDATE_HEARTBEAT',
} as const satisfies Record<JobEffect['type'], ErrorCode>;

/** Carries out one effect. A failure becomes an event; only a failed flash throws. @throws PowerCut */
async function runJob(
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

/**
 * Reports the failure as an event, because a missing or invalid patch is no reason to reject the release: the whole
 * artifact may still be downloaded.
 */
async function byDelta(attempt: number, made: Promise<number>, signal: AbortSignal): Promise<UpdateEvent> {
  try {
    return { type: 'downloaded', attempt, bytes: await made };
  } catch (error) {
    if (!(error instanceof AiotError) || error.retryable || signal.aborted) throw error;
    const { code, message } = error;
    return { type: 'deltaFailed', attempt, code, message };
  }
}

/** Updates the trust root and the timestamp, then fetches the manifest and checks it against both. */
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

/** Number of patch bytes to decode at once; small, because even a few bytes can expand to many. */
const pieceBytes = 512;

interface DeltaJob extends Omit<DownloadJob, 'anyLength'> {
  delta: Delta;
}

/**
 * Builds a slot's content from the active slot with a patch, while the patch is downloaded. A broken connection is resumed. After a power
 * cut, the decoder's state is lost, so the patch is read from the start; data that is already in the slot is not rewritten.
 * @returns the number of bytes in the slot @throws AIOT_DELTA_MALFORMED, AIOT_UPDATE_DOWNLOAD, PowerCut
 */
async function deltaToSlot(job: DeltaJob, ports: DownloadPorts, signal: AbortSignal): Promise<number> {
  const { delta, slot, bytes } = job;
  const { store, source, clock } = ports;
  let held = 0;
  if (job.resume) held = store.resumeSlot(slot, bytes);
  else {
    store.eraseSlot(slot, bytes);
    job.onErased();
  }
  const decoder = new DeltaDecoder(
    (from, count) => store.readSlot(delta.base, count, from),
    delta.baseBytes,
    bytes,
  );
  const hash = createHash('sha256');
  let [got, made] = [0, 0];
  const take = (piece: Uint8Array) => {
    const out = decoder.push(piece);
    const fresh = out.subarray(Math.min(out.length, Math.max(0, held - made)));
    if (fresh.length > 0) store.writeSlot(slot, made + out.length - fresh.length, fresh);
    made += out.length;
  };
  await retrying(clock, signal, async (progressed) => {
    if (got >= delta.bytes) return;
    for await (const chunk of source.blob(delta.digest, got, signal)) {
      signal.throwIfAborted();
      if (chunk.length > delta.bytes - got) throw malformed(`expected ${delta.bytes} bytes, got more`);
      hash.update(chunk);
      got += chunk.length;
      for (let at = 0; at < chunk.length; at += pieceBytes) take(chunk.subarray(at, at + pieceBytes));
      progressed(chunk.length);
      job.onProgress(Math.max(made, held));
    }
    if (got < delta.bytes) {
      const message = `expected ${delta.bytes} bytes of a patch, got ${got}`;
      throw new AiotError('AIOT_UPDATE_DOWNLOAD', message, { retryable: true });
    }
  });
  const digest = `sha256:${hash.digest('hex')}`;
  if (digest !== delta.digest) throw malformed(`expected ${delta.digest}, got ${digest}`);
  if (!decoder.done) throw malformed(`it produces ${made} bytes instead of ${bytes}`);
  return made;
}
