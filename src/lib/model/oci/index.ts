/** Models in an OCI registry, a cluster's own for example. */
export { ociPulledSchema, pullFromOci } from './pull.js';
export { type OciPushed, ociPushedSchema, pushVersionToOci } from './push.js';
