import {
  type Release,
  type RolloutPlan,
  rolloutRequestSchema,
  type SettingsRelease,
  type SignedRelease,
} from '../../api/rollouts/schema.js';
import { requireTrusted } from '../../api/vouched.js';
import { sha256Hex } from '../../core/crypto.js';
import { AiotError, unless } from '../../core/errors.js';
import { plural } from '../../core/figures.js';
import type { Reported, SignedProof } from '../../device/protocol/messages.js';
import { checkProof, type Proof } from '../../device/protocol/proof.js';
import { mayConnect } from '../../fleet/device.js';
import { isOfSettings } from '../../fleet/rollout/draft.js';
import { firmwareMisfits, type ModelNeeds, modelMisfits } from '../../fleet/rollout/fit.js';
import { runningOf } from '../../fleet/rollout/report.js';
import type { CheckedProof, RolloutState } from '../../fleet/rollout/types.js';
import {
  inRolloutOrder,
  isEnd,
  packOffline,
  splitIntoWaves,
  unpackOffline,
} from '../../fleet/rollout/waves.js';
import { pathsOf } from '../../fleet/settings.js';
import { type Manifest, peekManifest } from '../../formats/manifest/manifest.js';
import { similarType } from '../../provision/chip-options.js';
import { isTimeless } from '../../signal/spec.js';
import type { Reach } from '../access/reach.js';
import type { BlobStore } from '../blobs/store.js';
import { type DeltaPair, type Deltas, mostBases, patienceMs } from '../devices/desired.js';
import type { DeviceRecord, Devices } from '../devices/devices.js';
import type { SettingsRollouts } from '../devices/settings-rollouts.js';
import type { Models } from './models.js';
import type { Configs, Firmware } from './releases.js';

interface PlannerParts {
  blobs: Pick<BlobStore, 'ready' | 'bytes'>;
  devices: Devices;
  models: Models;
  firmware: Pick<Firmware, 'verified'>;
  configs: Pick<Configs, 'verified'>;
  settings: SettingsRollouts;
  deltas: Deltas;
  now: () => number;
}

type Request = ReturnType<typeof rolloutRequestSchema.parse>;

interface Prepared {
  request: Request;
  /** In rollout order. */
  devices: string[];
  /** Offline devices, which come last. */
  offline: ReadonlySet<string>;
  /** Devices that already run all releases, and that no other rollout is updating. */
  current: string[];
  /** Why some devices may not be able to run the model. */
  warnings: string[];
  /** Patches usable by these devices. */
  deltas: (DeltaPair & { release: Release; devices: number; of: number })[];
}

/** The releases or settings of a rollout. */
interface Content {
  types: readonly string[];
  /** The types for error messages. */
  typesText: string;
  /** Next step if the selector matches only devices of other types. */
  adapt: (types: string) => string;
  runs: (device: DeviceRecord) => boolean;
  /** Why some devices may not be able to use it. */
  check: (devices: readonly DeviceRecord[], others: readonly DeviceRecord[]) => Promise<string[]>;
  deltasOf: (devices: readonly DeviceRecord[]) => Promise<Prepared['deltas']>;
}

function noWayBack(releases: readonly Release[]): string {
  const isFirst = releases.every((release) => release.kind !== 'settings' && release.version === 1);
  return `no release to roll back to: ${isFirst ? 'it is the first version' : 'add --rollback-to'}`;
}

/** Maximum number of cached releases; the plans and proofs of one rollout concern the same few releases. */
const kept = 64;

/** Selects a rollout's devices and their order. */
export class Planner {
  /** By the bundle's digest. */
  private readonly needs = new Map<string, Omit<ModelNeeds, 'name' | 'sequence'>>();

  constructor(private readonly parts: PlannerParts) {}

  /**
   * @param running unfinished rollouts
   * @param reach devices that errors may name; the selector is already limited to them
   */
  async plan(
    value: unknown,
    running: readonly RolloutState[],
    reach: Reach | null = null,
  ): Promise<RolloutPlan> {
    const {
      request,
      devices,
      offline,
      current,
      warnings: unfit,
      deltas,
    } = await this.prepare(value, running, reach);
    const made = await this.parts.deltas.ready(deltas, patienceMs.plan);
    const left = devices.length - current.length;
    const waves = splitIntoWaves(devices, request.policy.waves);
    const warnings = [
      ...unfit,
      ...(current.length > 0 ? [`${current.length} of ${devices.length} already run it`] : []),
      ...(offline.size > 0 ? [`${offline.size} of ${devices.length} are offline and come last`] : []),
      ...(left > 1 && waves.length === 1
        ? ['all devices update at once: to start with a few, use --waves']
        : []),
      ...(request.rollback === null ? [noWayBack(request.releases)] : []),
    ];
    return {
      spec: 'aiot-rollout-plan/1',
      request: { ...request, expected: digestOf(devices), offlineBits: packOffline(devices, offline) },
      waves,
      deltas: deltas.flatMap(({ release, base, target, devices, of }) => {
        const delta = made.find((each) => each.base === base && each.target === target);
        return delta ? [{ release, base, devices, bytes: delta.bytes, of }] : [];
      }),
      ...{ offline: devices.filter((name) => offline.has(name)), warnings, made: this.parts.now() },
    };
  }

  async prepare(
    value: unknown,
    running: readonly RolloutState[],
    reach: Reach | null = null,
  ): Promise<Prepared> {
    const parsed = rolloutRequestSchema.parse(value);
    requireShadowable(parsed);
    const change = settingsIn(parsed);
    // The platform keeps the former settings of each device.
    const request = change ? { ...parsed, rollback: { ...change, change: null } } : parsed;
    const content = change ? await this.ofSettings(change) : await this.ofReleases(request);
    const { devices } = this.parts;
    devices.requireListed(request.selector, reach);
    const chosen = devices.select(request.selector);
    const found = chosen.filter(({ state, type }) => mayConnect(state) && content.types.includes(type));
    if (found.length === 0) {
      devices.requireTags(request.selector, reach);
      throw noDevice(
        request.selector,
        content,
        chosen.filter(({ state }) => mayConnect(state)),
      );
    }
    const names = found.map(({ name }) => name);
    if (request.expected !== undefined && request.expected !== digestOf(names)) {
      const message = `"${request.selector}" matches other devices than when the plan was made`;
      throw new AiotError('AIOT_ROLLOUT_PLAN', message);
    }
    // Another rollout would still replace the release that the device runs now.
    const isBusy = ({ name }: DeviceRecord) =>
      running.some(
        ({ head, devices }) =>
          isOfSettings(head) === isOfSettings(request) && !isEnd(devices.get(name)?.state ?? 'committed'),
      );
    const isCurrent = (device: DeviceRecord) => content.runs(device) && !isBusy(device);
    const [current, others] = [found.filter(isCurrent), found.filter((device) => !isCurrent(device))];
    const warnings = await content.check(found, others);
    const deltas = await content.deltasOf(found);
    const offline = this.offlineOf(names, request);
    const ordered = inRolloutOrder(names, request.releases, offline);
    return {
      ...{ request, devices: ordered, offline, warnings, deltas },
      current: current.map(({ name }) => name),
    };
  }

  private async ofReleases(request: Request): Promise<Content> {
    await this.requireWholeWindow(request);
    const releases = request.releases.filter(isSigned);
    const manifests: Manifest[] = [];
    for (const release of releases) manifests.push(await this.released(release));
    const { rollback } = request;
    if (rollback?.kind === 'settings')
      throw new AiotError(
        'AIOT_REQUEST_INVALID',
        'rollback: expected a release of the same kind, got settings',
      );
    if (rollback) requireWayBack(releases, manifests, rollback, await this.released(rollback));
    const [first = [], ...rest] = manifests.map(({ deviceTypes }) => deviceTypes);
    const topic = manifests.at(-1)?.kind === 'config' ? 'device config' : manifests.at(-1)?.kind;
    return {
      types: first.filter((type) => rest.every((types) => types.includes(type))),
      typesText: manifests.map(({ deviceTypes }) => deviceTypes.join(', ')).join('; '),
      adapt: (types) => `To release it for them, push it again: \`aiot ${topic} push … --types ${types}\`.`,
      runs: (device) => releases.every((release, i) => runs(device, release, manifests[i])),
      check: async (_, others) => [
        ...requireSecureVersion(releases, manifests, others),
        ...(await this.requireRoom(releases, manifests, others)),
      ],
      deltasOf: (devices) => this.pairsOf(devices, releases, manifests),
    };
  }

  /** @throws AIOT_SETTINGS_UNKNOWN; `check` and `runs`: AIOT_SETTINGS_INVALID */
  private async ofSettings({ name, change }: SettingsChangeOf): Promise<Content> {
    const { settings } = this.parts;
    const definition = await settings.definitionOf(name);
    return {
      types: [name],
      typesText: name,
      adapt: () => 'Settings belong to a device type: to see the types, run `aiot device settings show`.',
      runs: (device) => settings.uses(device, change, definition),
      check: async (devices) => {
        const silent = devices.filter((device) => settings.isSilent(device));
        if (silent.length === 0) return [];
        const which = `${silent.length} of ${plural(devices.length, 'device')}`;
        return [`the firmware of ${which} has not reported settings, so it may not support them`];
      },
      deltasOf: async () => [],
    };
  }

  /**
   * Devices that count as offline. A start from a plan uses the plan's offline devices, so that the order stays the
   * same even if devices have gone online or offline since.
   */
  private offlineOf(names: readonly string[], { expected, offlineBits }: Request): ReadonlySet<string> {
    if (expected !== undefined && offlineBits !== undefined) return unpackOffline(names, offlineBits);
    return new Set(names.filter((name) => !this.parts.devices.online(name)));
  }

  /** @throws AIOT_ROLLOUT_OVERLAP */
  requireFree(
    running: Iterable<RolloutState>,
    devices: readonly string[],
    request: Pick<Request, 'releases' | 'policy'>,
  ): void {
    for (const { head, devices: theirs } of running) {
      const isOther = isOfSettings(head) !== isOfSettings(request);
      if (isOther || head.policy.priority <= request.policy.priority) continue;
      const taken = devices.filter((name) => theirs.has(name) && !isEnd(theirs.get(name)!.state));
      if (taken.length === 0) continue;
      const told = taken.slice(0, 3).join(', ') + (taken.length > 3 ? `, … (${taken.length})` : '');
      const message = `${told}: in ${head.id}, whose priority is ${head.policy.priority}`;
      throw new AiotError('AIOT_ROLLOUT_OVERLAP', message);
    }
  }

  /**
   * Requires a shadow that lasts at least one window of the model, because a shorter one would measure nothing. @throws
   * AIOT_REQUEST_INVALID
   */
  private async requireWholeWindow({ releases, policy }: Request): Promise<void> {
    const [release] = releases;
    if (policy.shadow === null || release === undefined || release.kind === 'settings') return;
    const { name, version } = release;
    const info = await unless('AIOT_NOT_FOUND', this.parts.models.info(name, version));
    if (info?.kind !== 'model') return;
    const windowMs = Math.ceil((info.signal.windowSamples / info.signal.resampleHz) * 1000);
    if (policy.shadow.ms >= windowMs) return;
    const [got, window] = [policy.shadow.ms / 1000, windowMs / 1000];
    throw new AiotError(
      'AIOT_REQUEST_INVALID',
      `a shadow of ${got} s is shorter than one window of ${name}@${version} (${window} s), so nothing would be measured`,
      { next: `Allow time for many windows, such as --shadow ${Math.ceil((20 * windowMs) / 1000)}s` },
    );
  }

  /** The verified manifest of the release to roll out. */
  private async released(release: SignedRelease): Promise<Manifest> {
    const { name, version, sequence } = release;
    const manifest = await this.manifestOf(release);
    if (manifest.model?.kind === 'network') {
      throw new AiotError(
        'AIOT_MODEL_UNFIT',
        `${name}@${version} contains only a model without a project, so its inputs are unknown and no device can run it`,
        {
          next: 'Import the .tflite file into a project with `aiot model import FILE.tflite --project DIR`, then push the project with `aiot model push`.',
        },
      );
    }
    if (manifest.name === name && manifest.version === version) {
      // Damage is detected here, before a device downloads the blob and fails. A blob missing here may exist on another replica.
      for (const { digest } of manifest.artifacts)
        await unless('AIOT_NOT_FOUND', this.parts.blobs.ready(digest));
      return manifest;
    }
    const got = `${manifest.name}@${manifest.version}`;
    const message = `the manifest with sequence number ${sequence} is for ${got}, not for ${name}@${version}`;
    throw new AiotError('AIOT_REQUEST_INVALID', message);
  }

  private async manifestOf({ kind, name, version, sequence }: SignedRelease): Promise<Manifest> {
    if (kind === 'firmware') return await this.parts.firmware.verified(name, version, sequence);
    if (kind === 'config') return await this.parts.configs.verified(name, version, sequence);
    const card = await unless('AIOT_NOT_FOUND', this.parts.models.get(name, version));
    if (card) requireTrusted(card);
    return await this.parts.models.verified(sequence);
  }

  /**
   * Rejects a model that devices would reject for lack of memory, and returns warnings about devices on which it may not run. New firmware
   * in the same rollout may have more memory, so nothing is rejected then. @throws AIOT_MEMORY_SHORT
   */
  private async requireRoom(
    releases: readonly SignedRelease[],
    manifests: readonly Manifest[],
    devices: readonly DeviceRecord[],
  ): Promise<string[]> {
    const at = releases.findIndex(({ kind }) => kind === 'model');
    const [release, artifact] = [releases[at], manifests[at]?.artifacts[0]];
    if (!release || !artifact) return [];
    const needs = await this.needsOf(release, artifact.digest);
    if (needs === null) return [];
    const { short, warnings } = modelMisfits(needs, devices);
    if (short === null) return warnings;
    if (releases.some(({ kind }) => kind === 'firmware')) return [short, ...warnings];
    throw new AiotError('AIOT_MEMORY_SHORT', short, {
      next: 'Use a shorter signal.window, other features or a smaller model, exclude these devices with --selector, or install firmware with a larger AIOT_MEMORY_BYTES. For more, run `aiot docs firmware-memory`.',
    });
  }

  /**
   * A model's needs; null if its blob is missing here, because it may exist on another replica. The newest models' needs are kept, because a
   * rollout is planned several times.
   */
  private async needsOf(
    { name, version, sequence }: SignedRelease,
    digest: string,
  ): Promise<ModelNeeds | null> {
    const model = { name: `${name}@${version}`, sequence };
    const known = this.needs.get(digest);
    if (known) return { ...known, ...model };
    const bytes = await unless('AIOT_NOT_FOUND', this.parts.blobs.bytes(digest));
    if (bytes === undefined) return null;
    const { deviceNeed, unpackBundle } = await import('../../model/index.js');
    const bundle = unpackBundle(bytes);
    const { fields, rateHz } = bundle.info.signal;
    const needs = { ...deviceNeed(bundle), fields, rateHz: isTimeless(bundle.info.signal) ? null : rateHz };
    const [oldest] = this.needs.keys();
    if (this.needs.size >= kept && oldest !== undefined) this.needs.delete(oldest);
    this.needs.set(digest, needs);
    return { ...needs, ...model };
  }

  /** For each release to roll out, the releases that devices run now, the most common first. Devices that report an unreleased digest are ignored. */
  private async pairsOf(
    devices: readonly DeviceRecord[],
    releases: readonly SignedRelease[],
    manifests: readonly Manifest[],
  ): Promise<Prepared['deltas']> {
    const pairs: Prepared['deltas'] = [];
    for (const [i, release] of releases.entries()) {
      const artifact = manifests[i]?.artifacts[0];
      if (!artifact || release.kind === 'config') continue;
      const counts = new Map<string, number>();
      for (const { reported } of devices) {
        const base = reported && runningOf(release.kind, reported)?.digest;
        if (base && base !== artifact.digest) counts.set(base, (counts.get(base) ?? 0) + 1);
      }
      const released = await this.parts.deltas.released(release.kind, [...counts.keys()]);
      const commonest = [...counts].filter(([base]) => released.has(base)).sort(([, a], [, b]) => b - a);
      for (const [base, count] of commonest.slice(0, mostBases))
        pairs.push({ release, base, target: artifact.digest, devices: count, of: artifact.bytes });
    }
    return pairs;
  }
}

/** @throws AIOT_REQUEST_INVALID if the release cannot run alongside another */
function requireShadowable({ releases, policy }: Request): void {
  const [only, ...others] = releases;
  if (policy.shadow === null || (only?.kind === 'model' && others.length === 0)) return;
  throw new AiotError('AIOT_REQUEST_INVALID', 'a shadow rollout must contain only a model', {
    next: 'Roll out the firmware and the configuration first, then the model with --shadow.',
  });
}

/**
 * Rejects firmware whose secure version is below that of a device, and returns a warning about devices that may not know secure versions.
 * @throws AIOT_UPDATE_SECURE_VERSION
 */
function requireSecureVersion(
  releases: readonly SignedRelease[],
  manifests: readonly Manifest[],
  devices: readonly DeviceRecord[],
): string[] {
  const at = releases.findIndex(({ kind }) => kind === 'firmware');
  const release = releases[at];
  if (!release) return [];
  const { name, version } = release;
  const about = { name: `${name}@${version}`, secureVersion: manifests[at]?.secureVersion ?? 0 };
  const { rollback, warnings } = firmwareMisfits(about, devices);
  if (rollback === null) return warnings;
  throw new AiotError('AIOT_UPDATE_SECURE_VERSION', rollback, {
    next: 'Deploy firmware with a higher secure version, or exclude these devices with --selector.',
  });
}

/**
 * Rejects firmware for a rollback whose secure version is below that of the release, because devices that have committed the release would
 * reject it. @throws AIOT_UPDATE_SECURE_VERSION
 */
function requireWayBack(
  releases: readonly SignedRelease[],
  manifests: readonly Manifest[],
  rollback: SignedRelease,
  { secureVersion: own = 0 }: Manifest,
): void {
  const at = releases.findIndex(({ kind }) => kind === 'firmware');
  const release = releases[at];
  const lowest = manifests[at]?.secureVersion ?? 0;
  if (!release || rollback.kind !== 'firmware' || own >= lowest) return;
  throw new AiotError(
    'AIOT_UPDATE_SECURE_VERSION',
    `devices could not roll back to ${rollback.name}@${rollback.version}: its secure version is ${own}, but that of ${release.name}@${release.version} is ${lowest}`,
    {
      next: `Roll back to firmware with the secure version ${lowest} or higher, or use --on-failure pause without --rollback-to.`,
    },
  );
}

function digestOf(names: readonly string[]): string {
  return `sha256:${sha256Hex([...names].sort().join('\n'))}`;
}

/** Whether a device runs a release, or the same version under an earlier signature. */
function runs({ reported }: DeviceRecord, release: SignedRelease, manifest: Manifest | undefined): boolean {
  const running = reported && runningOf(release.kind, reported);
  if (!running) return false;
  const { name, version, sequence, digest } = running;
  if (sequence === release.sequence) return true;
  const isSame = name === release.name && version === release.version;
  return isSame && digest !== undefined && digest === manifest?.artifacts[0]?.digest;
}

interface ProofParts {
  devices: Devices;
  models: Pick<Models, 'manifest'>;
  firmware: Pick<Firmware, 'manifest'>;
  configs: Pick<Configs, 'manifest'>;
}

/** A release as identified in both proofs and manifests. */
type Running = Proof['release'];

/** Checks devices' signed update proofs: the device's signature, and that the release matches its signed manifest. */
export class Proofs {
  /** Releases by kind and sequence number; null = there is no such release. */
  private readonly releases = new Map<string, Promise<Running | null>>();

  constructor(private readonly parts: ProofParts) {}

  async check(device: string, report: Reported, signed: SignedProof): Promise<CheckedProof> {
    const record = this.parts.devices.find(device);
    const own = record && mayConnect(record.state) ? [record.fingerprint, record.nextFingerprint] : [];
    let said: Proof;
    try {
      said = checkProof({ device, report, proof: signed }, own);
    } catch (error) {
      if (!(error instanceof AiotError)) throw error;
      return { refused: { code: error.code, message: error.message } };
    }
    const { golden, healthyS, t, release } = said;
    const offered = await this.releaseOf(said);
    if (!offered || told(offered) !== told(release)) {
      const expected = offered ? told(offered) : 'a release that the platform has';
      const message = `expected ${expected}, got ${told(release)}`;
      return { refused: { code: 'AIOT_PROOF_MISMATCH', message } };
    }
    if (golden && golden.passed < golden.vectors) {
      const message = `expected the same results for all test vectors, got ${golden.passed} of ${golden.vectors}`;
      return { refused: { code: 'AIOT_PROOF_MISMATCH', message } };
    }
    return { signed, golden, healthyS, t };
  }

  private releaseOf({ kind, release: { name, version, sequence } }: Proof): Promise<Running | null> {
    const key = `${kind} ${name} ${version} ${sequence}`;
    const known = this.releases.get(key);
    if (known !== undefined) return known;
    const [oldest] = this.releases.keys();
    if (this.releases.size >= kept && oldest !== undefined) this.releases.delete(oldest);
    const asked = this.read({ kind, name, version, sequence });
    this.releases.set(key, asked);
    asked.catch(() => this.releases.delete(key));
    return asked;
  }

  /**
   * Reads the manifest without verifying it again, because it was verified on push, and the signer may have been
   * replaced since then.
   */
  private async read({ kind, name, version, sequence }: SignedRelease): Promise<Running | null> {
    const { models, firmware, configs } = this.parts;
    const releases = kind === 'firmware' ? firmware : configs;
    const asked = kind === 'model' ? models.manifest(sequence) : releases.manifest(name, version, sequence);
    const envelope = await unless('AIOT_NOT_FOUND', asked);
    const manifest = envelope && peekManifest(envelope);
    const [artifact] = manifest?.artifacts ?? [];
    if (!manifest || !artifact) return null;
    return {
      name: manifest.name,
      version: manifest.version,
      sequence: manifest.sequence,
      digest: artifact.digest,
    };
  }
}

function told({ name, version, sequence, digest }: Running): string {
  return `${name}@${version}, sequence ${sequence}, ${digest}`;
}

/** `others`: devices that the selector matches, but whose type is not among the types of the content. */
function noDevice(
  selector: string,
  { types, typesText, adapt }: Pick<Content, 'types' | 'typesText' | 'adapt'>,
  others: readonly DeviceRecord[],
): AiotError {
  const message = `"${selector}" matches no device of type ${typesText}`;
  const own = [...new Set(others.map(({ type }) => type))].sort().slice(0, 5).join(',');
  if (own === '') return new AiotError('AIOT_ROLLOUT_EMPTY', message);
  const [slip] = own.split(',').flatMap((type) => {
    const near = similarType(type, types);
    return near === undefined
      ? []
      : [
          ` If ${type} is a misspelling of ${near}, remove the device, and provision it again with --type ${near}.`,
        ];
  });
  return new AiotError(
    'AIOT_ROLLOUT_EMPTY',
    `${message}; it matches only devices of type ${own.replaceAll(',', ', ')}`,
    { next: `${adapt(own)}${slip ?? ''}` },
  );
}

function isSigned(release: Release): release is SignedRelease {
  return release.kind !== 'settings';
}

type SettingsChangeOf = SettingsRelease & { change: NonNullable<SettingsRelease['change']> };

/** The settings that a request rolls out; null = it rolls out signed releases. @throws AIOT_REQUEST_INVALID */
function settingsIn({ releases, policy }: Request): SettingsChangeOf | null {
  const release = releases.find((each) => each.kind === 'settings');
  if (!release) return null;
  const { change } = release;
  const refuse = (reason: string, next: string) => new AiotError('AIOT_REQUEST_INVALID', reason, { next });
  if (releases.length > 1)
    throw refuse(
      'releases: a rollout of settings contains nothing else',
      'Start a rollout of its own for the settings.',
    );
  if (change === null || pathsOf(change).length === 0)
    throw refuse('releases.0.change: expected at least one setting', 'Name the settings to set or unset.');
  if (policy.requireProof)
    throw refuse(
      'policy.requireProof: devices do not sign their settings',
      'Start the rollout without --require-proof.',
    );
  return { ...release, change };
}
