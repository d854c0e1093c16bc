import { X509Certificate } from 'node:crypto';
import * as z from 'zod';
import { AiotError } from '../core/errors.js';
import { chipNames } from '../formats/esp-image/chips.js';
import { readBatch } from './batch.js';
import { imageForBatch, imageNames, partsOf } from './chip-image.js';
import { type ChipOptions, chipOfType, type ImageRequest, imageRequest, wifiTold } from './chip-options.js';
import { type NewFile, openPlace } from './identity-folder.js';
import { provisionedDeviceSchema } from './provision.js';

/** batch.json in the folder of a batch's images: what they are for, without the key. */
export const batchImageSchema = z.object({
  spec: z.literal('aiot-batch-image/1'),
  batch: z.string(),
  type: z.string(),
  chip: z.enum(chipNames),
  url: z.string(),
  /** ms since 1970 */
  expires: z.int(),
});

export const batchImageFile = 'batch.json';

/** Longest texts that the firmware reads (firmware/core/include/aiot/enroll.h), without their NUL. */
const longest = { key: 200, url: 159, ca: 2047 };

export const provisionedBatchSchema = batchImageSchema.omit({ spec: true }).extend({
  wifi: provisionedDeviceSchema.shape.wifi.unwrap(),
  files: z.array(z.string()),
});
export type ProvisionedBatch = z.output<typeof provisionedBatchSchema>;

interface BatchImageOptions {
  /** File from `device batch create`. */
  batch: string;
  /** Absent = the type of the batch. */
  chip?: ChipOptions['chip'] | undefined;
  image: ImageRequest;
  out: string;
  /** ms since 1970 */
  now: number;
}

/**
 * Writes the flash images for all boards of a batch. The platform is not contacted.
 * @throws AIOT_USAGE, AIOT_FILE_NOT_FOUND, AIOT_FILE_MALFORMED, AIOT_NVS_UNFIT, AIOT_ALREADY_EXISTS, AIOT_FILE_NOT_WRITABLE
 */
export async function provisionBatch(options: BatchImageOptions): Promise<ProvisionedBatch> {
  const { batch, type, url, ca: given, key, expires } = await readBatch(options.batch);
  const refuse = (message: string, next: string): never => {
    throw new AiotError('AIOT_USAGE', `${options.batch}: ${message}`, { next });
  };
  const named = chipOfType(type);
  const chip =
    options.chip ?? named ?? refuse(`the type ${type} is not a chip`, 'Specify the chip: --chip esp32');
  if (named !== null && named !== chip)
    refuse(`the batch is for ${named} boards, not for ${chip}`, 'Omit --chip, or create another batch.');
  if (expires <= options.now)
    refuse(
      `the batch ${batch} expired on ${new Date(expires).toISOString().slice(0, 10)}, so its boards would be refused`,
      'Create another one with `aiot device batch create NAME --out FILE`.',
    );
  if (given === null)
    return refuse(
      "the file has no CA, and boards only trust the platform's own",
      "Add the platform's context with --ca FILE, and create the batch again.",
    );
  const ca = certificatesIn(given, options.batch);
  if (key.length > longest.key || url.length > longest.url || ca.length > longest.ca)
    refuse(
      `a board has room for a key of ${longest.key} bytes, a URL of ${longest.url} and a CA of ${longest.ca}`,
      'Pass a file with only one CA to `aiot context add --ca`, and create the batch again.',
    );
  if (options.image.address !== undefined)
    refuse('--wifi-address applies to one board', "Reserve the boards' addresses in your DHCP server.");
  if (options.image.nvsKey !== undefined)
    refuse(
      '--nvs-key is the key of one board, but the boards of a batch have the same image',
      'Create an identity for each board: `aiot device provision NAME --nvs-key FILE`.',
    );
  const chipOptions: ChipOptions = { ...(await imageRequest(options.image)), chip };
  const image = await imageForBatch({ key, http: url, ca }, { type, options: chipOptions });
  const about = { batch, type, chip, url, expires };
  const files: NewFile[] = [
    ...partsOf(image).map(({ name, data }) => ({
      name: imageNames[name],
      data,
      secret: name !== 'partitions',
    })),
    { name: batchImageFile, data: `${JSON.stringify({ spec: 'aiot-batch-image/1', ...about }, null, 2)}\n` },
  ];
  const place = await openPlace(options.out, [...Object.values(imageNames), batchImageFile, 'device.json']);
  try {
    return { ...about, wifi: wifiTold(chipOptions), files: await place.put(files) };
  } finally {
    await place.leave();
  }
}

/** The certificates of a PEM, in the form that the firmware reads: without text around them, and with LF. @throws AIOT_FILE_MALFORMED */
function certificatesIn(pem: string, file: string): string {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  try {
    const found = blocks.map((block) => new X509Certificate(block).toString());
    if (found.length > 0) return found.map((text) => `${text.trimEnd()}\n`).join('');
  } catch {
    // The message below applies.
  }
  throw new AiotError('AIOT_FILE_MALFORMED', `${file}: ca: expected a certificate in PEM`, {
    next: 'Create the batch again with `aiot device batch create NAME --out FILE`.',
  });
}
