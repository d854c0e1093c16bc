/**
 * A model in an OCI registry is an artifact of one blob, the bundle's content as devices download it, under the digest that it has on the
 * platform. Whoever signed it is an artifact of its own that refers to it: signatures can come later, and the model stays what it was.
 */
export const modelArtifact = 'application/vnd.aiot.model.v1';
export const bundleType = 'application/vnd.aiot.bundle.v1.tar';
export const releaseArtifact = 'application/vnd.aiot.release.v1';
export const envelopeType = 'application/vnd.aiot.manifest.v1+json';

/** The release's envelope is no larger (docs/protocol.md), bytes. */
export const largestEnvelope = 64 * 1024;
