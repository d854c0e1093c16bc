/** What commands are made of: the base class, the shared flags, and rendering. Knows no rule of any domain. */
export { percent, plural, size, thousands } from '../core/index.js';
export { again, shellWord } from './again.js';
export { AiotCommand } from './command.js';
export { duration, shared } from './flags.js';
export { createProgress, type Progress } from './progress.js';
export { demoSummary } from './render/demo.js';
export { evaluationText } from './render/evaluation.js';
export { fileEvaluationText } from './render/file-evaluation.js';
export { inspectionText } from './render/inspection.js';
export { recordingsTable } from './render/recordings.js';
export * from './render/style.js';
export { facts, next, table } from './render/text.js';
export * from './render/time.js';
export { readSecret } from './secret.js';
export { type ExplainInput, explainSettings } from './settings/explain.js';
export { explainedSchema } from './settings/types.js';
export { flagVariables } from './settings/variables.js';
export { runSteps, type Step } from './steps.js';
