export { type Amount, amountSchema, shareOf } from './amount.js';
export { commandStates } from './command-states.js';
export {
  type Deployed,
  deploy,
  deployedSchema,
  type FollowRolloutOptions,
  followRollout,
  rolloutExit,
} from './deploy.js';
export { noRolloutSchema, startedIfAny } from './if-any.js';
export { writeRolloutPage } from './page/write-page.js';
export { readPlan } from './plan-file.js';
export { type ReleaseOptions, releaseOf, wayBack } from './release.js';
export { type RolloutReport, rolloutReport, rolloutReportSchema } from './report.js';
export { rolloutRequest, type WhatToRollOut } from './request.js';
export * from './schema.js';
export { rolloutTimesMs, type ShadowFigures, type ShadowPolicy, type WaveShadow } from './shadow.js';
