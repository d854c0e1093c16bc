import type { ErrorCode } from '../../core/catalogue.js';
import { firmwareInterfaces, type Manifest } from '../../formats/manifest/manifest.js';
import type { Desired } from '../protocol/messages.js';
import { refuse } from './ending.js';
import { type DeviceRecord, lowestSecureVersion, type Refusal, withSlot } from './record.js';
import type { Delta, DeviceTraits, JobEvent, UpdateCheck, UpdateMachine, UpdateStep } from './types.js';

/** The download phase: manifest, erased slot and bytes, until the slot is complete. */
export function downloading(state: UpdateMachine, event: JobEvent): UpdateStep {
  const { job, attempt } = state;
  const artifact = job?.manifest?.artifacts[0];
  if (event.type === 'manifest' && !artifact) return takeManifest(state, event);
  if (!job || !artifact) return { state, effects: [] };
  if (event.type === 'erased') {
    const { digest } = deltaOf(state) ?? artifact;
    const record = { ...state.record, download: { slot: job.slot, digest } };
    return { state: { ...state, record }, effects: [{ type: 'persist', record }] };
  }
  if (event.type === 'progress') {
    const quarter = (bytes: number) => Math.floor((4 * bytes) / artifact.bytes);
    const tell = quarter(event.bytes) > quarter(state.download?.bytes ?? 0);
    const download = { bytes: Math.min(event.bytes, artifact.bytes), total: artifact.bytes };
    return { state: { ...state, download }, effects: tell ? [{ type: 'report' }] : [] };
  }
  if (event.type === 'deltaFailed') return deltaFailed(state, artifact, event);
  if (event.type !== 'downloaded') return { state, effects: [] };
  if (event.bytes !== artifact.bytes && !state.traits.unchecked?.has('length')) {
    return refuse(state, {
      code: 'AIOT_UPDATE_SIZE',
      message: `expected ${artifact.bytes} bytes, got ${event.bytes}`,
    });
  }
  const download = { bytes: event.bytes, total: artifact.bytes };
  return {
    state: { ...state, phase: 'VERIFYING', download },
    effects: [{ type: 'report' }, { type: 'hashSlot', attempt, slot: job.slot, bytes: artifact.bytes }],
  };
}

function takeManifest(state: UpdateMachine, event: Extract<JobEvent, { type: 'manifest' }>): UpdateStep {
  const { job, attempt } = state;
  if (!job?.desired) return { state, effects: [] };
  const { manifest } = event;
  const known = inEpoch(state.record, event.epoch ?? 0);
  const newestSigned = Math.max(known.newestSigned, manifest.issued);
  const refusal = judgeManifest(manifest, job.desired, known, state.traits, event.now);
  const artifact = manifest.artifacts[0];
  if (refusal || !artifact) {
    const seen = { ...state, record: { ...known, newestSigned } };
    return refuse(seen, refusal ?? { code: 'AIOT_UPDATE_MISMATCH', message: 'expected an artifact' });
  }
  const { slot } = job;
  const { digest, bytes } = artifact;
  if (known.trial?.shadow && known.slots[slot]?.digest === digest) {
    // A shadow's content is already in the slot, so its bytes are only checked again.
    const record = { ...known, newestSigned };
    const download = { bytes, total: bytes };
    return {
      state: { ...state, phase: 'VERIFYING', record, job: { ...job, manifest, byDelta: false }, download },
      effects: [{ type: 'persist', record }, { type: 'report' }, { type: 'hashSlot', attempt, slot, bytes }],
    };
  }
  const chosen = chooseDelta({ ...state, record: known }, artifact);
  const { delta } = chosen;
  const begun = known.download;
  const resume = begun?.slot === slot && begun.digest === (delta?.digest ?? digest);
  // The slot's old content is removed from the record before its first sector is erased.
  const record = {
    ...known,
    newestSigned,
    slots: withSlot(known.slots, slot, null),
    download: resume ? begun : null,
    trial: null,
  };
  return {
    state: {
      ...state,
      record,
      job: { ...job, manifest, byDelta: delta !== null },
      download: { bytes: 0, total: bytes },
      delta: chosen.told,
    },
    effects: [
      { type: 'persist', record },
      { type: 'report' },
      { type: 'fetchBundle', attempt, slot, digest, bytes, resume, delta },
    ],
  };
}

/**
 * Resets the counters when the keys are replaced. An attacker with the old keys may have raised the counters, and
 * signatures by those keys are no longer valid.
 */
function inEpoch(record: DeviceRecord, epoch: number): DeviceRecord {
  if (epoch <= (record.epoch ?? 0)) return record;
  const { secureVersion: _, ...kept } = record;
  return { ...kept, epoch, floor: 0, sequence: 0, newestSigned: 0 };
}

/**
 * Handles the digest of the bytes read back from the slot. The slot is recorded as containing this version only if the
 * digest is correct.
 */
export function verified(state: UpdateMachine, digest: string): UpdateStep {
  const { job, attempt } = state;
  const artifact = job?.manifest?.artifacts[0];
  if (!job?.manifest || !artifact) return { state, effects: [] };
  if (digest !== artifact.digest && !state.traits.unchecked?.has('digest')) {
    const message = `expected ${artifact.digest}, got ${digest}`;
    if (job.byDelta) return deltaFailed(state, artifact, { code: 'AIOT_DELTA_RESULT', message });
    return refuse(state, { code: 'AIOT_DIGEST_MISMATCH', message });
  }
  const { name, version, sequence, floor, secureVersion } = job.manifest;
  const content = { name, version, sequence, digest, bytes: artifact.bytes };
  const record = {
    ...state.record,
    slots: withSlot(state.record.slots, job.slot, content),
    download: null,
    trial: {
      ...{ slot: job.slot, rollout: job.rollout, floor, tries: 0 },
      ...(job.desired?.shadow ? { shadow: true as const } : {}),
      ...(secureVersion ? { secureVersion } : {}),
    },
  };
  return {
    state: { ...state, phase: 'STAGED', record },
    effects: [{ type: 'persist', record }, { type: 'report' }, { type: 'beginTrial', attempt }],
  };
}

type Artifact = Manifest['artifacts'][number];

/** The patch of the job's delta; null if the job uses none. */
function deltaOf({ job, record }: UpdateMachine): Delta | null {
  const offer = job?.desired?.delta;
  const content = record.active === null ? null : record.slots[record.active];
  if (!job?.byDelta || !offer || !content || record.active === null) return null;
  const { digest, bytes } = offer;
  return { base: record.active, baseBytes: content.bytes, digest, bytes };
}

/**
 * Decides whether to use the offered patch, and how to report the decision. The offer is not signed, so the result of
 * the patch is checked against the manifest. A patch longer than half of the whole artifact is not used.
 */
function chooseDelta(
  state: UpdateMachine,
  { digest, bytes }: Artifact,
): { delta: Delta | null; told: UpdateMachine['delta'] } {
  const { job, record, traits } = state;
  const offer = job?.desired?.delta;
  // A download of the whole artifact that has already started is continued.
  const whole = record.download?.slot === job?.slot && record.download?.digest === digest;
  if (!job || !offer || !traits.deltas || whole) return { delta: null, told: null };
  const about = { bytes: offer.bytes, of: bytes };
  const refused = (code: ErrorCode, message: string) => ({
    delta: null,
    told: { ...about, error: { code, message } },
  });
  const active = record.active === null ? null : record.slots[record.active];
  if (active?.digest !== offer.base) {
    return refused('AIOT_DELTA_BASE', `expected ${offer.base}, got ${active?.digest ?? 'none'}`);
  }
  if (2 * offer.bytes > bytes) {
    return refused('AIOT_DELTA_MALFORMED', `expected half of ${bytes} bytes at most, got ${offer.bytes}`);
  }
  const delta = deltaOf({ ...state, job: { ...job, byDelta: true } });
  return { delta, told: { ...about, error: null } };
}

/** Erases the slot again and downloads the whole artifact. */
function deltaFailed(
  state: UpdateMachine,
  { digest, bytes }: Artifact,
  { code, message }: { code: ErrorCode; message: string },
): UpdateStep {
  const { job, attempt, delta } = state;
  if (!job?.byDelta || !delta) return { state, effects: [] };
  const record = { ...state.record, download: null };
  const error = { code, message: message.slice(0, 300) };
  return {
    state: {
      ...state,
      phase: 'DOWNLOADING',
      record,
      job: { ...job, byDelta: false },
      download: { bytes: 0, total: bytes },
      delta: { ...delta, error },
    },
    effects: [
      { type: 'persist', record },
      { type: 'report' },
      { type: 'fetchBundle', attempt, slot: job.slot, digest, bytes, resume: false, delta: null },
    ],
  };
}

/**
 * Decides whether a device may accept a manifest whose signatures are valid. Returns the first failed check in the
 * order of docs/reference/protocol.md, or null if the manifest is accepted.
 * @param now ms since 1970, or null without a clock. If the newest signed time seen so far is later, that time is used
 * instead, because a clock behind it is wrong.
 */
export function judgeManifest(
  manifest: Manifest,
  desired: Desired,
  record: DeviceRecord,
  traits: DeviceTraits,
  now: number | null,
): Refusal | null {
  const { sequence, name, version, deviceTypes, expires } = manifest;
  const checked = (check: UpdateCheck) => !traits.unchecked?.has(check);
  const other =
    manifest.kind !== desired.kind ||
    name !== desired.name ||
    version !== desired.version ||
    sequence !== desired.sequence;
  if (other && checked('announced')) {
    return {
      code: 'AIOT_UPDATE_MISMATCH',
      message: `expected ${desired.kind} ${desired.name}@${desired.version} (sequence ${desired.sequence}), got ${manifest.kind} ${name}@${version} (sequence ${sequence})`,
    };
  }
  if (!deviceTypes.includes(traits.type) && checked('deviceType')) {
    return {
      code: 'AIOT_UPDATE_DEVICE_TYPE',
      message: `expected ${traits.type} among the device types, got ${deviceTypes.join(', ')}`,
    };
  }
  const unable = inability(manifest, traits);
  if (unable !== null && checked('interface')) return { code: 'AIOT_UPDATE_INTERFACE', message: unable };
  if (sequence < record.floor && checked('floor')) {
    return {
      code: 'AIOT_UPDATE_FLOOR',
      message: `expected a sequence of at least ${record.floor}, got ${sequence}`,
    };
  }
  if (sequence <= record.sequence && checked('sequence')) {
    return {
      code: 'AIOT_UPDATE_SEQUENCE',
      message: `expected a sequence above ${record.sequence}, got ${sequence}`,
    };
  }
  if (manifest.floor > sequence && checked('floor')) {
    return {
      code: 'AIOT_UPDATE_FLOOR',
      message: `expected a floor of at most its own sequence ${sequence}, got ${manifest.floor}`,
    };
  }
  const time = Math.max(record.newestSigned, manifest.issued, now ?? 0);
  if (expires !== null && expires <= time && checked('expiry')) {
    return {
      code: 'AIOT_UPDATE_EXPIRED',
      message: `expected a manifest that is valid at ${new Date(time).toISOString()}, got one that expired at ${new Date(expires).toISOString()}`,
    };
  }
  const [artifact, ...others] = manifest.artifacts;
  if (!artifact || (others.length > 0 && checked('artifacts'))) {
    return {
      code: 'AIOT_UPDATE_MISMATCH',
      message: `expected one artifact, got ${manifest.artifacts.length}`,
    };
  }
  if (artifact.bytes < 1 || artifact.bytes > traits.slotBytes) {
    return {
      code: 'AIOT_UPDATE_SIZE',
      message: `expected 1 to ${traits.slotBytes} bytes, got ${artifact.bytes}`,
    };
  }
  const [secureVersion, lowest] = [manifest.secureVersion ?? 0, lowestSecureVersion({ traits, record })];
  if (manifest.kind === 'firmware' && secureVersion < lowest && checked('secureVersion')) {
    return {
      code: 'AIOT_UPDATE_SECURE_VERSION',
      message: `expected a secure version of at least ${lowest}, got ${secureVersion}`,
    };
  }
  return null;
}

/**
 * The reason why this device cannot run the release, or null. Only the current firmware is considered, because the capabilities of new
 * firmware are unknown before its trial.
 */
function inability({ kind, interface: needed, model }: Manifest, traits: DeviceTraits): string | null {
  const own = traits.kind ?? 'model';
  if (kind !== own) return `expected a ${own}, got ${kind}: this device updates no other kind`;
  if (model?.kind === 'network') return 'expected a model with its signal processing, got a network alone';
  if (needed > traits.interface) {
    return `expected a model for firmware of interface ${traits.interface} at most, got one for ${needed}`;
  }
  const mode = model?.quantization.mode;
  // Decision trees require only an interface version, because a tree's mode is just the type of its input and output.
  const { forests, rejectingForests, soundForests, decidingForests, soundStreamForests } = firmwareInterfaces;
  const trees: number[] = [forests, rejectingForests, soundForests, decidingForests, soundStreamForests];
  if (trees.includes(needed) && mode === 'float32') return null;
  if (mode === undefined || traits.modes.includes(mode)) return null;
  return `expected a network of ${traits.modes.join(', ')}, got ${mode}`;
}
