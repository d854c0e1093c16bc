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
  /** Releases to roll out, by kind, each as a reference such as NAME@VERSION. */
  model?: string | undefined;
  firmware?: string | undefined;
  configuration?: string | undefined;
  /** Version for a rollback of the last of these releases. */
  rollbackTo?: string | undefined;
  selector?: string | undefined;
  policy: RolloutPolicyInput;
}

/**
 * Builds a rollout request. Resolves versions, and signs manifests again where necessary.
 * @throws AIOT_USAGE, AIOT_NOT_FOUND, AIOT_KEY_NOT_FOUND, AIOT_MODEL_UNFIT, AIOT_MODEL_UNTRUSTED
 */
export async function rolloutRequest(what: WhatToRollOut): Promise<RolloutRequest> {
  const { client, rollbackTo, selector, policy } = what;
  const asked = askedFor(what);
  const last = asked.at(-1);
  if (!last) {
    throw new AiotError('AIOT_USAGE', 'expected at least one of --model, --firmware and --configuration');
  }
  if (selector === undefined) {
    throw new AiotError(
      'AIOT_USAGE',
      "expected --selector with the devices; 'all' selects all devices of a compatible type",
    );
  }
  if (policy.onFailure === 'rollback' && rollbackTo === undefined) {
    throw new AiotError(
      'AIOT_USAGE',
      '--on-failure rollback also needs --rollback-to with the version to roll back to',
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

/**
 * The requested kinds in the order of installation: firmware first and the model last, because a model may need new versions of the others.
 */
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

/** Reads the output of `aiot rollout plan --out`. @throws AIOT_FILE_NOT_FOUND, AIOT_ROLLOUT_PLAN */
export async function readPlan(file: string): Promise<RolloutPlan> {
  const text = await readText(file);
  try {
    return rolloutPlanSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new AiotError('AIOT_ROLLOUT_PLAN', `${file}: expected a rollout plan`, { cause });
  }
}

/** Result if no rollout was started because no device matched. `skipped` is the reason. */
export const noRolloutSchema = z.object({ skipped: z.string() });

/** Starts a rollout. If no device matches and `ifAny` is set, returns `{ skipped }` instead of throwing. @throws errors of the platform */
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
