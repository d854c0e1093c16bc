import * as z from 'zod';
import { largestBlob } from '../contract/blobs.js';

/** Media types of the OCI Image Specification 1.1 and of our artifacts. */
export const manifestType = 'application/vnd.oci.image.manifest.v1+json';
export const indexType = 'application/vnd.oci.image.index.v1+json';
export const manifestTypes = [manifestType, indexType];

/** Configuration of an artifact that needs none: `{}`, with the digest given in the specification. */
export const emptyConfig = {
  mediaType: 'application/vnd.oci.empty.v1+json',
  digest: 'sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a',
  size: 2,
} as const;
export const emptyContent = Buffer.from('{}');

const digest = z.string().regex(/^sha256:[0-9a-f]{64}$/);

export const descriptorSchema = z.looseObject({
  mediaType: z.string(),
  digest,
  size: z.int().min(0).max(largestBlob),
  artifactType: z.string().optional(),
  annotations: z.record(z.string(), z.string()).optional(),
});
export type Descriptor = z.output<typeof descriptorSchema>;

export const indexSchema = z.looseObject({
  schemaVersion: z.literal(2),
  manifests: z.array(descriptorSchema).max(10_000),
});

export const artifactSchema = z.looseObject({
  schemaVersion: z.literal(2),
  mediaType: z.string().optional(),
  artifactType: z.string().optional(),
  config: descriptorSchema,
  layers: z.array(descriptorSchema),
  subject: descriptorSchema.optional(),
  annotations: z.record(z.string(), z.string()).optional(),
});
export type Artifact = z.output<typeof artifactSchema>;

/** Manifest of an artifact with one blob. The same parts result in the same bytes, and therefore in the same digest. */
export function artifactText(parts: {
  artifactType: string;
  layer: Descriptor;
  subject?: Descriptor;
  annotations: Record<string, string>;
}): string {
  const { artifactType, layer, subject, annotations } = parts;
  return JSON.stringify({
    ...{ schemaVersion: 2, mediaType: manifestType, artifactType, config: emptyConfig, layers: [layer] },
    ...(subject === undefined ? {} : { subject }),
    annotations,
  });
}
