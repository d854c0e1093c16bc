/** Artifacts in an OCI registry: where they are, how they are written, and the calls of one repository. */
export { OciRepository } from './client.js';
export {
  type Artifact,
  artifactSchema,
  artifactText,
  type Descriptor,
  emptyContent,
  largestBlob,
  manifestType,
} from './manifest.js';
export { isOciReference, type OciReference, ociText, parseOciReference } from './reference.js';
