import * as z from 'zod';
import { chipNames } from '../formats/esp-image/chips.js';
import { digest, name, time } from './fields.js';
import { bundleKinds } from './firmware/bundle.js';
import { pageSchema } from './page.js';

/** GET /firmware → {firmware}, GET /firmware/{name} → {versions}, GET /firmware/{name}/versions/{version} */
export const firmwareVersionSchema = z.object({
  name,
  version: z.int(),
  /** Of its manifest: rises over all firmware of the platform. */
  sequence: z.int(),
  /** Of the image. */
  digest,
  bytes: z.int(),
  pushed: time,
  /** The chip that the image is for, as its header says; null = a program of a computer. */
  chip: z.enum(chipNames).nullable(),
  deviceTypes: z.array(z.string()),
  /** What it is for an update client of a device that runs more than one program; absent = an image or a program. */
  bundle: z.enum(bundleKinds).optional(),
  /** The application description in the image; null where it has none. */
  app: z.object({ project: z.string(), version: z.string(), built: z.string(), idf: z.string() }).nullable(),
});
export type FirmwareVersion = z.output<typeof firmwareVersionSchema>;

/** One line of GET /firmware. */
export const firmwareSummarySchema = z.object({
  name,
  versions: z.int(),
  latest: firmwareVersionSchema,
});
export type FirmwareSummary = z.output<typeof firmwareSummarySchema>;

export const firmwareListSchemas = {
  firmware: pageSchema('firmware', firmwareSummarySchema),
  versions: pageSchema('versions', firmwareVersionSchema),
};
