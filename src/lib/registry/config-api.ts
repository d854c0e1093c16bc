import * as z from 'zod';
import { deviceConfigSchema } from '../formats/device-config.js';
import { digest, name, time } from './fields.js';
import { pageSchema } from './page.js';

/** GET /configs → {configs}, GET /configs/{name} → {versions}, GET /configs/{name}/versions/{version} */
export const configVersionSchema = z.object({
  name,
  version: z.int(),
  /** Of its manifest: rises over all configurations of the platform. */
  sequence: z.int(),
  /** Of the document. */
  digest,
  bytes: z.int(),
  pushed: time,
  deviceTypes: z.array(z.string()),
  /** What it sets, with what holds where it sets nothing. */
  config: deviceConfigSchema,
});
export type ConfigVersion = z.output<typeof configVersionSchema>;

/** One line of GET /configs. */
export const configSummarySchema = z.object({ name, versions: z.int(), latest: configVersionSchema });
export type ConfigSummary = z.output<typeof configSummarySchema>;

export const configListSchemas = {
  configs: pageSchema('configs', configSummarySchema),
  versions: pageSchema('versions', configVersionSchema),
};
