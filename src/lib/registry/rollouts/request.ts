import * as z from 'zod';
import { AiotError, hasCode } from '../../core/errors.js';
import { readText } from '../../core/files.js';
import type { RegistryClient } from '../client.js';
import { resolveConfig } from '../config/push.js';
import { resolveFirmware } from '../firmware/fetch.js';
import { resolveModel } from '../reference.js';
import { type ReleaseOptions, releaseOf, type Version, wayBack } from './release.js';
import {
  type Release,
  type Rollout,
  type RolloutKind,
  type RolloutPlan,
  type RolloutPolicyInput,
  type RolloutRequest,
  rolloutPlanSchema,
} from './schema.js';

export interface WhatToRollOut extends ReleaseOptions {
  /** Of each kind: NAME@VERSION and the like. */
  model?: string | undefined;
  firmware?: string | undefined;
  configuration?: string | undefined;
  /** Version of the last of them to go back to. */
  rollbackTo?: string | undefined;
  selector?: string | undefined;
  policy: RolloutPolicyInput;
}

/**
 * What the platform is asked for: versions looked up, and signed anew where that has to be.
 * @throws AIOT_USAGE, AIOT_NOT_FOUND, AIOT_KEY_NOT_FOUND, AIOT_MODEL_UNFIT, AIOT_MODEL_UNTRUSTED
 */
export async function rolloutRequest(what: WhatToRollOut): Promise<RolloutRequest> {
  const { client, rollbackTo, selector, policy } = what;
  const asked = askedFor(what);
  const last = asked.at(-1);
  if (!last) {
    throw new AiotError(
      'AIOT_USAGE',
      'expected --model, --firmware or --configuration (or several): what is to be rolled out',
    );
  }
  if (selector === undefined) {
    throw new AiotError(
      'AIOT_USAGE',
      "expected --selector: which devices; 'all' means all of a fitting type",
    );
  }
  if (policy.onFailure === 'rollback' && rollbackTo === undefined) {
    throw new AiotError(
      'AIOT_USAGE',
      'expected --rollback-to with --on-failure rollback: the version to go back to',
    );
  }
  const releases: Release[] = [];
  for (const { kind, text } of asked) {
    releases.push(await releaseOf(what, kind, await resolvers[kind](client, text)));
  }
  const rollback =
    rollbackTo === undefined
      ? null
      : await wayBack(what, last.kind, await resolvers[last.kind](client, rollbackTo));
  return { releases, rollback, selector, policy };
}

/** The firmware first and the model last: a model may need what is new in the others. */
function askedFor(what: WhatToRollOut): { kind: RolloutKind; text: string }[] {
  const { firmware, configuration, model } = what;
  const all = { firmware, config: configuration, model };
  return (['firmware', 'config', 'model'] as const).flatMap((kind) => {
    const text = all[kind];
    return text === undefined ? [] : [{ kind, text }];
  });
}

const resolvers: Record<RolloutKind, (client: ReleaseOptions['client'], text: string) => Promise<Version>> = {
  model: resolveModel,
  firmware: resolveFirmware,
  config: resolveConfig,
};

/** What `aiot ota plan --out` wrote. @throws AIOT_FILE_NOT_FOUND, AIOT_ROLLOUT_PLAN */
export async function readPlan(file: string): Promise<RolloutPlan> {
  const text = await readText(file);
  try {
    return rolloutPlanSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new AiotError('AIOT_ROLLOUT_PLAN', `${file}: expected a plan of a rollout`, { cause });
  }
}

/** No rollout, and why: nobody was there for it. */
export const noRolloutSchema = z.object({ skipped: z.string() });

/** Starts a rollout; where no device matches, and that is fine, it says so instead. @throws as the platform says */
export async function startedIfAny(
  rollouts: Pick<RegistryClient['rollouts'], 'start'>,
  asked: RolloutRequest,
  ifAny: boolean,
): Promise<Rollout | z.output<typeof noRolloutSchema>> {
  try {
    return await rollouts.start(asked);
  } catch (error) {
    if (!ifAny || !hasCode(error, 'AIOT_ROLLOUT_EMPTY') || !(error instanceof AiotError)) throw error;
    return { skipped: error.message };
  }
}
