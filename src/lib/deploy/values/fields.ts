import { z } from 'zod';

/** Names of objects and of what they refer to (RFC 1123, 2.1: a label). */
export const label = z
  .string()
  .regex(/^[a-z]([a-z0-9-]{0,51}[a-z0-9])?$/, 'expected small letters, digits and dashes, at most 53');

/** A host name or an address, without a port. */
export const host = z
  .string()
  .max(253)
  .regex(/^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$/, 'expected a host name or an address');

/** An image with its tag or digest: what has neither is another one tomorrow. */
export const image = z
  .string()
  .max(400)
  .regex(
    /^[a-z0-9][\w.-]*(:\d+)?(\/[a-z0-9][a-z0-9._-]*)*(:[\w][\w.-]*)?(@sha256:[0-9a-f]{64})?$/,
    'expected an image such as registry.internal:5000/aiot:1.2.3',
  )
  .refine(
    (text) => /@sha256:/.test(text) || (/:[\w][\w.-]*$/.test(lastPart(text)) && !text.endsWith(':latest')),
    'expected a tag or a digest, and not "latest"',
  );

const lastPart = (text: string) => text.slice(text.lastIndexOf('/') + 1);

/** A quantity of Kubernetes, of bytes. */
export const bytes = z.string().regex(/^[1-9]\d{0,5}(Ki|Mi|Gi|Ti)$/, 'expected a size such as 10Gi');

/** A quantity of Kubernetes, of processor time. */
export const cpu = z.union([
  z.string().regex(/^([1-9]\d{0,4}m|\d{1,3}(\.\d{1,3})?)$/, 'expected a share such as 250m or 2'),
  z.number().positive().max(999).transform(String),
]);

export const port = z.int().min(1).max(65_535);

/** K3S gives services of this kind no other port unless told (--service-node-port-range). */
export const nodePort = z
  .int()
  .min(30_000, 'expected a node port, 30000 to 32767')
  .max(32_767, 'expected a node port, 30000 to 32767');

/** A variable of a process. */
export const variable = z.string().regex(/^[A-Z][A-Z0-9_]*$/, 'expected capitals, digits and underscores');

/** A label or taint of a node, as KEY: its prefix may not be Kubernetes' own. */
export const nodeKey = z
  .string()
  .regex(/^([a-z0-9.-]+\/)?[A-Za-z0-9]([\w.-]*[A-Za-z0-9])?$/, 'expected a key such as example.org/role');

/** A word that goes on a command line or into a value: one line. */
export const word = z
  .string()
  .max(2000)
  .regex(/^[^\p{Cc}]*$/u, 'expected text without control characters');
