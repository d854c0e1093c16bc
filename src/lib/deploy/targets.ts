import { natsTarget } from './nats/target.js';
import type { DeployTarget } from './types.js';

/** One entry a target: the only place that knows which there are. */
export const deployTargets = { nats: natsTarget } as const satisfies Record<string, DeployTarget>;
export type TargetName = keyof typeof deployTargets;

export const targetNames = Object.keys(deployTargets) as TargetName[];
