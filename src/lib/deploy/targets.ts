import { argocdTarget } from './argocd/target.js';
import { cloudInitTarget } from './cloud-init/target.js';
import { composeTarget } from './compose/target.js';
import { k3sTarget } from './k3s/target.js';
import { natsTarget } from './nats/target.js';
import { nodesTarget } from './nodes/target.js';
import { systemdTarget } from './systemd/target.js';
import type { DeployTarget } from './types.js';

/** One entry a target: the only place that knows which there are. */
export const deployTargets = {
  compose: composeTarget,
  k3s: k3sTarget,
  'k3s-nodes': nodesTarget,
  systemd: systemdTarget,
  'cloud-init': cloudInitTarget,
  argocd: argocdTarget,
  nats: natsTarget,
} as const satisfies Record<string, DeployTarget>;
export type TargetName = keyof typeof deployTargets;

export const targetNames = Object.keys(deployTargets) as TargetName[];
