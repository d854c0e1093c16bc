import { z } from 'zod';
import { AiotError, issueText } from '../../core/index.js';
import { faceModelNames } from '../../vision/index.js';
import { duration } from '../route/fields.js';

/** What may stand in a route under `through: {faces: {…}}`. */
export const facesSettings = z.strictObject({
  model: z.enum(faceModelNames).default('sparse'),
  /** 0…1; absent = as the model has it. */
  minScore: z.number().min(0.05).max(0.99).optional(),
  /** Look for faces this many times as small: see DetectorOptions. */
  zoom: z.number().min(1).max(4).default(1),
  /** Part of the face's width and height that is added on each side; 0 = brow to chin. */
  margin: z.number().min(0).max(2).default(0),
  /** Longest side of what is sent, pixels; absent = as it is in the picture. */
  size: z.int().min(8).max(4096).optional(),
  /** Most faces of one picture, the best first. */
  most: z.int().min(1).default(100),
  /** A face that stays where it is is sent this often, such as 1s; 0 = in each picture. */
  every: duration.default(0),
});
export type FacesSettings = z.output<typeof facesSettings>;

/** @throws AIOT_ROUTE_INVALID naming the setting */
export function readFacesSettings(settings: Readonly<Record<string, unknown>>): FacesSettings {
  const result = facesSettings.safeParse(settings);
  if (result.success) return result.data;
  throw new AiotError(
    'AIOT_ROUTE_INVALID',
    `through: faces: ${issueText(result.error, 'the settings', settings)}`,
  );
}
