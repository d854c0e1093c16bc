import type { ZodType } from 'zod';
import { crashSchema } from '../../formats/crash.js';
import { deviceConfigSchema } from '../../formats/device-config.js';
import { envelopeSchema, trustRootSchema } from '../../formats/manifest/envelope.js';
import { manifestSchema } from '../../formats/manifest/manifest.js';
import { commandSchema, logSchema, replySchema } from './control.js';
import {
  desiredSchema,
  inferenceSchema,
  presenceSchema,
  reportedSchema,
  settingsSchema,
  telemetrySchema,
} from './messages.js';
import { proofSchema } from './proof.js';

/**
 * All schemas in docs/reference/protocol.md, by the word that marks their examples. docs/reference/schemas/protocol
 * contains them as JSON Schema.
 */
export const protocolSchemas = {
  command: commandSchema,
  configuration: deviceConfigSchema,
  crash: crashSchema,
  desired: desiredSchema,
  envelope: envelopeSchema,
  inference: inferenceSchema,
  log: logSchema,
  manifest: manifestSchema,
  presence: presenceSchema,
  proof: proofSchema,
  reply: replySchema,
  reported: reportedSchema,
  settings: settingsSchema,
  telemetry: telemetrySchema,
  trust: trustRootSchema,
} as const satisfies Record<string, ZodType>;
