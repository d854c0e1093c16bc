/** Looks whether this machine has what aiot needs, and says what to do where it has not. Changes nothing. */
export { type DoctorOptions, examine } from './examine.js';
export { type Diagnosis, diagnosisSchema, type Finding } from './finding.js';
