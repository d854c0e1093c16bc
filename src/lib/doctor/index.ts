/** Checks whether this machine meets the requirements of aiot, and suggests fixes. Changes nothing. */
export { examine } from './examine.js';
export { diagnosisSchema, type Finding } from './finding.js';
export { lookForUpdate, type Update, updateSchema } from './update.js';
