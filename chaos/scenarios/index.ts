import type { Scenario } from '../types.js';
import { bridgeToKafka, bridgeToNats } from './bridge.js';
import { pipeline } from './pipeline.js';
import { platform } from './platform.js';
import { postgres } from './postgres.js';

/** All there are. */
export const scenarios: readonly Scenario[] = [platform, bridgeToNats, bridgeToKafka, pipeline, postgres];
