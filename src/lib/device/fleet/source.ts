import { readFirmware } from '../../api/firmware/image.js';
import { digestOf } from '../../core/crypto.js';
import { AiotError } from '../../core/errors.js';
import { systemClock } from '../../core/time.js';
import type { TrustRoot } from '../../formats/manifest/envelope.js';
import { type Manifest, verifyManifest } from '../../formats/manifest/manifest.js';
import { type Reported, reportedSchema, type ShadowFigures } from '../protocol/messages.js';
import { interpreterRuntime } from '../runtime.js';
import { Shadow } from '../telemetry/shadow.js';
import { retrying } from '../update/download.js';
import type { SlotContent } from '../update/record.js';
import type { BundleSource } from '../update/types.js';
import { tryConfig } from '../virtual/firmware.js';

/** How often a release is downloaded: once for all devices in the process, or by each device. */
export type Download = 'once' | 'all';

/** Maximum number of concurrent downloads. */
const atOnce = 64;

/** Name and version of firmware, as in `reported`. */
export type Program = Pick<NonNullable<Reported['firmware']>, 'name' | 'version'>;

export interface FleetSource {
  /** Downloads a manifest and verifies its signatures, once per path. @throws AIOT_SIGNATURE_INVALID, AIOT_UPDATE_DOWNLOAD */
  manifest(path: string): Promise<Manifest>;
  /** Resolves when the download is complete, with the digest of the received bytes. */
  blob(digest: string): Promise<{ digest: string; bytes: number }>;
  /** Runs the golden vectors once per digest, because the same bytes yield the same result on every device. */
  golden(digest: string): Promise<{ vectors: number; passed: number }>;
  /** Name and version of a program, read from its image or, if the image contains neither, from its release. */
  program(content: SlotContent): Promise<Program>;
  /** Checks a configuration against the model in use, once for each combination. @throws AIOT_CONFIG_MALFORMED, AIOT_CONFIG_UNFIT */
  configure(digest: string, model: string | null): Promise<void>;
  /** Runs both models over the windows of the candidate's golden vectors, once for each pair of models. */
  shadow(active: string, candidate: string): Promise<ShadowFigures>;
  readonly downloads: number;
}

/**
 * Downloads and results shared by all devices of a fleet. `trust`: as provisioned. Like any device, the source retries
 * an unreachable platform until `signal` is aborted. The retry delays are in real time, even if the fleet's clock runs
 * faster.
 */
export function fleetSource(
  http: BundleSource,
  trust: TrustRoot | null,
  how: Download,
  signal: AbortSignal,
): FleetSource {
  const manifests = new Map<string, Promise<Manifest>>();
  const bundles = new Map<string, Promise<Buffer>>();
  const verdicts = new Map<string, Promise<{ vectors: number; passed: number }>>();
  const programs = new Map<string, Promise<Program>>();
  const configured = new Map<string, Promise<void>>();
  const shadows = new Map<string, Promise<ShadowFigures>>();
  const bounded = gate(atOnce);
  let downloads = 0;

  const asked = <T>(call: () => Promise<T>) => retrying(systemClock, signal, () => bounded(call));
  const fetch = (digest: string) =>
    asked(async () => {
      const chunks: Uint8Array[] = [];
      for await (const chunk of http.blob(digest, 0, signal)) chunks.push(chunk);
      downloads++;
      return Buffer.concat(chunks);
    });
  const verified = async (path: string) => {
    if (!trust) throw new AiotError('AIOT_SIGNATURE_INVALID', 'the fleet has no trust root');
    return verifyManifest(await asked(() => http.manifest(path, signal)), trust);
  };
  const bundle = (digest: string) => kept(bundles, digest, () => fetch(digest));
  return {
    get downloads() {
      return downloads;
    },
    async manifest(path) {
      if (how === 'all' && manifests.has(path)) await asked(() => http.manifest(path, signal));
      return kept(manifests, path, () => verified(path));
    },
    async blob(digest) {
      const first = how === 'once' || !bundles.has(digest);
      const bytes = first ? await bundle(digest) : await fetch(digest);
      return { digest: how === 'once' ? await known(bytes) : digestOf(bytes), bytes: bytes.length };
    },
    golden: (digest) =>
      kept(verdicts, digest, async () => interpreterRuntime.checkGolden(await bundle(digest))),
    program: (content) =>
      kept(programs, `${content.name}@${content.version}`, async () =>
        programIn(await bundle(content.digest), content),
      ),
    configure: (digest, model) =>
      kept(configured, `${digest} ${model}`, async () => {
        const loaded = model === null ? null : await interpreterRuntime.load(await bundle(model));
        tryConfig(await bundle(digest), { take: null, model: loaded });
      }),
    shadow: (active, candidate) =>
      kept(shadows, `${active} ${candidate}`, async () =>
        compared(await bundle(active), await bundle(candidate)),
      ),
  };
}

function programIn(bytes: Uint8Array, { name, version }: SlotContent): Program {
  const { app } = readFirmware(bytes, name);
  const said = reportedSchema.shape.firmware.safeParse({ name: app?.project, version: app?.version });
  return said.data ?? { name, version: String(version) };
}

/** Compares two models. @throws AIOT_RECORDING_UNFIT if their inputs differ */
async function compared(activeBytes: Uint8Array, candidateBytes: Uint8Array): Promise<ShadowFigures> {
  const { unpackBundle } = await import('../../model/bundle/pack.js');
  const [active, candidate] = await Promise.all([
    interpreterRuntime.load(activeBytes),
    interpreterRuntime.load(candidateBytes),
  ]);
  const { fields, rateHz } = candidate;
  if (active.fields.join() !== fields.join() || active.rateHz !== rateHz) {
    const message = `expected ${active.fields.join(', ')} as required by the current model, got ${fields.join(', ')}`;
    throw new AiotError('AIOT_RECORDING_UNFIT', message, {
      next: 'Push a model that was trained with the same fields and rate.',
    });
  }
  const shadow = new Shadow(active, candidate);
  for (const { samples } of unpackBundle(candidateBytes).golden) {
    const [one, other] = [active.createPredictor(), candidate.createPredictor()];
    for (const sample of samples) shadow.saw(one.push(sample), other.push(sample));
  }
  return shadow.figures;
}

/** Digests of shared buffers. Each digest is computed only once. */
const digests = new WeakMap<Buffer, string>();
async function known(bytes: Buffer): Promise<string> {
  const digest = digests.get(bytes) ?? digestOf(bytes);
  digests.set(bytes, digest);
  return digest;
}

/** Returns the cached result, or computes it. If the computation fails, the next caller tries again. */
function kept<T>(all: Map<string, Promise<T>>, key: string, make: () => Promise<T>): Promise<T> {
  const before = all.get(key);
  if (before !== undefined) return before;
  const made = make();
  all.set(key, made);
  made.catch(() => all.delete(key));
  return made;
}

/** Limits concurrency; tasks start in the order of the calls. */
function gate(most: number): <T>(task: () => Promise<T>) => Promise<T> {
  let running = 0;
  const waiting: (() => void)[] = [];
  return async (task) => {
    if (running >= most) await new Promise<void>((resolve) => waiting.push(resolve));
    running++;
    try {
      return await task();
    } finally {
      running--;
      waiting.shift()?.();
    }
  };
}
