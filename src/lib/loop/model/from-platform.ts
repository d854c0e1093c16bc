import { AiotError, untilAborted } from '../../core/index.js';
import { parseModelReference } from '../../registry/index.js';
import type { LoadedModel, ModelKeeper } from '../model-types.js';
import { type Contract, contractOfModel } from './contract.js';
import { isAway, told } from './failures.js';
import { Keep } from './keep.js';
import { keeperOf } from './keeper.js';
import { titleOf } from './load.js';
import type { Settings } from './options.js';
import { PlatformModel } from './platform.js';
import { requireNotRefused, tried } from './tried.js';
import { Watch } from './watch.js';

/** How long a platform may take at the start where there is a model in the cache, ms. */
const patienceMs = 4000;

/**
 * The model of a reference: the platform's, or the one in use before while the platform is away. Looks again at its pace.
 * @throws what asking the platform and loading throw, where there is nothing in the cache to begin with
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
    // What was taken back is on the disk before the platform is asked again, and before the loop ends.
    let remembered = Promise.resolve();
    const keep = new Keep(
      { model: first.model, source: first.source },
      settings,
      (model, reason) => {
        const adding = platform.refusals
          .add(model.digest, titleOf(model), reason, settings.clock.now())
          .catch((error: unknown) => settings.tell('note', `cannot remember that: ${told(error)}`));
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
      // A version stays what it is; all else may come to mean another one.
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
  /** The platform did not answer. */
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
    // The one that comes too late is found again by the watch.
    now.catch(() => {});
    const timeout = settings.clock.sleep(patienceMs, late.signal).then((): never => {
      throw new AiotError(
        'AIOT_PLATFORM_UNREACHABLE',
        `no answer from ${platform.url} within ${patienceMs} ms`,
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
    const why = offline ? 'the platform does not answer' : told(error);
    settings.tell(offline ? 'offline' : 'refused', `${titleOf(before)} from the cache: ${why}`);
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

/** The newest one in the cache that still verifies, fits and was not refused. */
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
      settings.tell('note', `${known.name}@${known.version} of the cache cannot be used: ${told(error)}`);
    }
  }
  return null;
}
