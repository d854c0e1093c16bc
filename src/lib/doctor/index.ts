/** Looks whether this machine has what aiot needs, and says what to do where it has not. Changes nothing. */
export { examine } from './examine.js';
export { diagnosisSchema, type Finding } from './finding.js';
export { lookForUpdate, type Update, updateSchema } from './update.js';
