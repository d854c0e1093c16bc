import { z } from 'zod';
import { positive, readSettings, type SensorUrl, wholePositive } from '../url.js';

const shape = {
  /** Samples a second: the device's next rate that is not below. Default = as the device is set; read one by one, 10. */
  rate: positive.optional(),
  /** ± g that acceleration must reach; default = as the device is set. */
  range: positive.optional(),
  /** ± degrees a second that rotation must reach; default = as the device is set. */
  gyro: positive.optional(),
  /** The kernel's names without in_, such as accel_x,accel_y,accel_z; default = all. */
  channels: z
    .string()
    .regex(/^[a-z0-9_-]+(,[a-z0-9_-]+)*$/, 'expected names such as accel_x,accel_y')
    .transform((text) => text.split(','))
    .optional(),
  /** Samples that come at a time; default = a quarter of a second of them. */
  watermark: wholePositive.optional(),
  /** Samples that the kernel keeps for a reader who is late; default = four seconds of them. */
  length: wholePositive.optional(),
  /** For devices that need one; default = the device's own. */
  trigger: z.string().min(1).optional(),
  /** buffer = from the kernel's buffer; direct = one by one, slow. Default = from the buffer where there is one. */
  mode: z.enum(['buffer', 'direct']).optional(),
};

/** What `iio://DEVICE?…` says. */
export type IioSettings = z.output<z.ZodObject<typeof shape>>;

/** @throws AIOT_SENSOR_URL */
export function iioSettings(url: SensorUrl): IioSettings {
  return readSettings(url, shape);
}
