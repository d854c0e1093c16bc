export { type Rehearsal, type RehearsalObserver, type RehearsalOptions, rehearse } from './rehearse.js';
export { type Rehearsals, type RehearseOptions, rehearsalsSchema, rehearseAll } from './summary.js';
