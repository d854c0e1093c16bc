import type { Scenario } from '../types.js';
import { bridgeToKafka, bridgeToNats } from './bridge.js';
import { delivery } from './delivery.js';
import { device } from './device.js';
import { loop } from './loop.js';
import { pipeline } from './pipeline.js';
import { platform } from './platform.js';
import { postgres } from './postgres.js';
import { replicas } from './replicas.js';
import { rollout } from './rollout.js';

/** All scenarios, in the order of listing. */
export const scenarios: readonly Scenario[] = [
  ...[platform, postgres, replicas, rollout, delivery, device],
  ...[bridgeToNats, bridgeToKafka, loop, pipeline],
];
