import { argocdTarget } from './targets/argocd.js';
import { cloudInitTarget } from './targets/cloud-init.js';
import { composeTarget } from './targets/compose.js';
import { grafanaTarget } from './targets/grafana.js';
import { k3sTarget } from './targets/k3s.js';
import { natsTarget } from './targets/nats.js';
import { nodesTarget } from './targets/nodes.js';
import { systemdTarget } from './targets/systemd.js';
import type { DeployTarget } from './types.js';

/** All targets by name. No other table lists them. */
export const deployTargets = {
  compose: composeTarget,
  k3s: k3sTarget,
  'k3s-nodes': nodesTarget,
  systemd: systemdTarget,
  'cloud-init': cloudInitTarget,
  argocd: argocdTarget,
  nats: natsTarget,
  grafana: grafanaTarget,
} as const satisfies Record<string, DeployTarget>;
export type TargetName = keyof typeof deployTargets;

export const targetNames = Object.keys(deployTargets) as TargetName[];
