/** What would go wrong in a cluster, looked for in the files. */
export { type CheckedDeployment, checkDeployment, checkedDeploymentSchema } from './check.js';
export { at, type Data, type DeployFolder, listAt, readDeployFolder, textAt } from './objects.js';
