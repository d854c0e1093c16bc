import { parseModelReference } from '../../api/reference.js';
import { AiotError } from '../../core/errors.js';
import { untilAborted } from '../../core/tasks.js';
import { backOffMs } from '../../core/time.js';
import type { LoadedModel, ModelKeeper } from '../types.js';
import { Keep, keeperOf } from './keep.js';
import { type Contract, contractOfModel, isAway, loadModel, titleOf, told } from './load.js';
import type { Settings } from './options.js';
import { type KnownVersion, PlatformModel, type Signed } from './platform.js';

/** Maximum wait for the platform at startup if there is a model in the cache, ms. */
const patienceMs = 4000;

/**
 * Resolves a model reference to the platform's version or, while the platform is unreachable, to the version last in use. Repeats the check
 * periodically.
 * @throws the errors of the platform request and of loading, if the cache contains no model to start with
 */
export async function keepPlatformModel(
  reference: string,
  settings: Settings,
  contract: Contract | null,
): Promise<ModelKeeper> {
  const { which } = parseModelReference(reference);
  const platform = await PlatformModel.open(reference, settings);
  try {
    const first = await firstModel(platform, settings, contract);
    const promised = contract ?? contractOfModel(first.model.info);
    // Resolves once rejections are on disk. It is awaited before the platform is queried again, and before the loop ends.
    let remembered = Promise.resolve();
    const keep = new Keep(
      { model: first.model, source: first.source },
      settings,
      (model, reason) => {
        const adding = platform.refusals
          .add(model.digest, titleOf(model), reason, settings.clock.now())
          .catch((error: unknown) =>
            settings.tell('note', `cannot record that the model misbehaved: ${told(error)}`),
          );
        remembered = Promise.all([remembered, adding]).then(() => {});
      },
      () => platform.refusals.list(),
    );
    const watch = new Watch(platform, keep, settings, promised, first.source === 'cache' && first.offline);
    return keeperOf(keep, settings, promised, {
      check: async () => {
        await remembered;
        await watch.check();
      },
      // A numbered version never changes. Other references may point to another version later.
      pause: typeof which === 'number' ? null : () => watch.pauseMs(),
      close: async () => {
        await remembered;
        await platform.disconnect();
      },
    });
  } catch (error) {
    await platform.disconnect();
    throw error;
  }
}

interface First {
  model: LoadedModel;
  source: 'platform' | 'cache';
  /** The platform did not respond. */
  offline: boolean;
}

async function firstModel(
  platform: PlatformModel,
  settings: Settings,
  contract: Contract | null,
): Promise<First> {
  const late = new AbortController();
  try {
    const now = newest(platform, settings, contract);
    if (platform.history.length === 0) return await now;
    // If this request fails after the timeout, the error is ignored, because the watch sends another request.
    now.catch(() => {});
    const timeout = settings.clock.sleep(patienceMs, late.signal).then((): never => {
      throw new AiotError(
        'AIOT_PLATFORM_UNREACHABLE',
        `no response from ${platform.url} within ${patienceMs} ms`,
        {
          endpoint: platform.url,
          retryable: true,
        },
      );
    });
    return await untilAborted(Promise.race([now, timeout]), settings.signal);
  } catch (error) {
    settings.signal?.throwIfAborted();
    const before = await lastKnown(platform, settings, contract);
    if (!before) throw error;
    const offline = isAway(error);
    const why = offline ? 'the platform does not respond' : told(error);
    settings.tell(offline ? 'offline' : 'refused', `using ${titleOf(before)} from the cache: ${why}`);
    return { model: before, source: 'cache', offline };
  } finally {
    late.abort();
  }
}

async function newest(
  platform: PlatformModel,
  settings: Settings,
  contract: Contract | null,
): Promise<First> {
  const wanted = await platform.resolve();
  await requireNotRefused(platform, wanted);
  const model = await tried(platform, await platform.fetch(wanted), settings, contract);
  return { model, source: 'platform', offline: false };
}

/** The newest version in the cache that can still be verified, fits, and was not rejected. */
async function lastKnown(
  platform: PlatformModel,
  settings: Settings,
  contract: Contract | null,
): Promise<LoadedModel | null> {
  for (const known of platform.history) {
    try {
      if (await platform.refusals.has(known.digest)) continue;
      const signed = await platform.cached(known);
      if (signed) return await tried(platform, signed, settings, contract);
    } catch (error) {
      if (!(error instanceof AiotError)) throw error;
      settings.tell('note', `${known.name}@${known.version} from the cache is unusable: ${told(error)}`);
    }
  }
  return null;
}

/** The longest pause between requests to an unreachable platform, ms. */
const longestPauseMs = 300_000;

/** Polls the platform and acts on its responses. */
class Watch {
  /** Consecutive attempts without a response. */
  private failures: number;
  private asking: Promise<void> | null = null;
  /**
   * Identifies the version that was last activated or rejected (`key`). While the reference points to this version, it is not
   * tried again before `until`.
   */
  private settled: { key: string; until: number };

  constructor(
    private readonly platform: PlatformModel,
    private readonly keep: Keep,
    private readonly settings: Settings,
    private readonly contract: Contract,
    offline: boolean,
  ) {
    this.failures = offline ? 1 : 0;
    this.settled = { key: keyOf(keep.now.model), until: Number.POSITIVE_INFINITY };
  }

  /** Time until the next check, with jitter, so that a fleet's requests are spread over time. */
  pauseMs(): number {
    const pause = backOffMs(this.failures + 1, this.settings.pollMs, longestPauseMs);
    return pause * (0.9 + 0.2 * Math.random());
  }

  check(): Promise<void> {
    this.asking ??= this.ask().finally(() => {
      this.asking = null;
    });
    return this.asking;
  }

  private async ask(): Promise<void> {
    const { platform, keep, settings } = this;
    let wanted: KnownVersion | undefined;
    try {
      wanted = await platform.resolve();
      this.answered();
      if (keyOf(wanted) === this.settled.key && settings.clock.now() < this.settled.until) return;
      await requireNotRefused(platform, wanted);
      const next = await tried(platform, await platform.fetch(wanted), settings, this.contract);
      settings.signal?.throwIfAborted();
      keep.replace({ model: next, source: 'platform' });
      this.settled = { key: keyOf(wanted), until: Number.POSITIVE_INFINITY };
    } catch (error) {
      if (settings.signal?.aborted) return;
      if (isAway(error)) await this.away(error);
      else this.refuse(wanted, error);
    }
  }

  private answered(): void {
    if (this.failures > 0) this.settings.tell('online', `${this.platform.url} responds again`);
    this.failures = 0;
  }

  private async away(error: unknown): Promise<void> {
    this.failures++;
    this.keep.lastError = told(error);
    if (this.failures === 1) {
      this.settings.tell('offline', `${told(error)}; continuing with ${titleOf(this.keep.now.model)}`);
    }
    await this.platform.disconnect().catch(() => {});
  }

  private refuse(wanted: KnownVersion | undefined, error: unknown): void {
    const what = wanted ? `${wanted.name}@${wanted.version}` : this.platform.reference;
    this.keep.lastError = `${what}: ${told(error)}`;
    const key = wanted ? keyOf(wanted) : what;
    const before = this.settled.key;
    // New keys, the correct time or a changed aiot.yaml may remove the problem, so the version is tried again, but rarely.
    this.settled = { key, until: this.settings.clock.now() + longestPauseMs };
    if (key === before) return;
    this.settings.tell(
      'refused',
      `${what} was not accepted (${told(error)}); continuing with ${titleOf(this.keep.now.model)}`,
    );
  }
}

function keyOf({ version, digest }: Pick<LoadedModel, 'version' | 'digest'>): string {
  return `${version} ${digest}`;
}

/**
 * Loads a downloaded version. If it fails its golden vectors here, the failure is remembered, and the version is never tried
 * again.
 */
async function tried(
  platform: PlatformModel,
  signed: Signed,
  settings: Settings,
  contract: Contract | null,
): Promise<LoadedModel> {
  const { known, bundle } = signed;
  try {
    const model = await loadModel(bundle, known, { contract, settings });
    await platform.remember(signed);
    return model;
  } catch (error) {
    if (error instanceof AiotError && lasting.has(error.code)) {
      await platform.refusals.add(
        known.digest,
        `${known.name}@${known.version}`,
        told(error),
        settings.clock.now(),
      );
    }
    throw error;
  }
}

/** Errors of the content itself, which no retry fixes. */
const lasting: ReadonlySet<string> = new Set([
  'AIOT_GOLDEN_MISMATCH',
  'AIOT_TFLITE_UNSUPPORTED',
  'AIOT_TFLITE_MALFORMED',
]);

/** @throws AIOT_MODEL_REFUSED */
async function requireNotRefused(platform: PlatformModel, { name, version, digest }: KnownVersion) {
  const refusal = await platform.refusals.has(digest);
  if (!refusal) return;
  throw new AiotError(
    'AIOT_MODEL_REFUSED',
    `${name}@${version} was rejected on this machine: ${refusal.reason}`,
  );
}
