/** A K3S cluster's files. */
export { bucketUrl } from './env.js';
export { secure } from './secure.js';
export { k3sTarget } from './target.js';
