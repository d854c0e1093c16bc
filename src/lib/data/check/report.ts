import * as z from 'zod';
import { plural } from '../../core/figures.js';
import { confidences, findingKinds, type Split } from '../types.js';

const single = z.union([z.number(), z.string()]);

const figure = z.union([
  z.number(),
  z.string(),
  z.boolean(),
  z.null(),
  z.array(single),
  z.record(z.string(), z.union([z.number(), z.string(), z.null()])),
]);

const findingSchema = z.object({
  kind: z.enum(findingKinds),
  severity: z.enum(['error', 'warning', 'info']),
  /** `certain`: counted in the data; `likely`: very unlikely to be chance; `possible`: should be checked. */
  confidence: z.enum(confidences),
  /** Recording IDs in a project, otherwise file paths. */
  files: z.array(z.string()),
  /** The numbers in the message, as data. */
  evidence: z.record(z.string(), figure),
  message: z.string(),
  advice: z.string(),
});

/** Number of findings by severity, as text for people: `1 warning, 3 remarks`; empty if there are no findings. */
export function findingCounts(findings: readonly { severity: string }[]): string {
  const nouns = { error: 'error', warning: 'warning', info: 'remark' };
  return Object.entries(nouns)
    .map(
      ([severity, noun]) =>
        [findings.filter((finding) => finding.severity === severity).length, noun] as const,
    )
    .filter(([count]) => count > 0)
    .map(([count, noun]) => plural(count, noun))
    .join(', ');
}

export const checkReportSchema = z.object({
  /** Kind of data checked: recordings of a project, loose recordings, or tables of rows. */
  of: z.enum(['project', 'recordings', 'table']),
  digest: z.string(),
  /** Number of recordings, or of files of rows. */
  recordings: z.int(),
  /** Number of samples, or of rows. */
  samples: z.int(),
  /** Sampling rate in Hz (null for rows and pictures), and where it comes from: the project or a flag, a time column, or an assumption. */
  rateHz: z.number().nullable(),
  rateFrom: z.enum(['told', 'time', 'assumed']).nullable(),
  /** Name of the time column; null if there is none, and for a project. */
  timeColumn: z.string().nullable(),
  /** Where labels come from; null = the project. */
  labelFrom: z.enum(['name', 'folder', 'column', 'none']).nullable(),
  /** Number of recordings (or rows) on each side; null if there is no split. */
  split: z
    .object({
      by: z.string(),
      seed: z.int().nullable(),
      train: z.int(),
      validation: z.int(),
      test: z.int(),
    })
    .nullable(),
  findings: z.array(findingSchema),
  /** Whether no finding is an error. */
  ok: z.boolean(),
});

export type CheckReport = z.output<typeof checkReportSchema>;

/** Lists the first few IDs, and the number of the remaining ones. */
export function listIds(ids: string[], most = 6): string {
  if (ids.length <= most) return ids.join(', ');
  return `${ids.slice(0, most - 1).join(', ')} and ${ids.length - most + 1} more`;
}

/** Number of recordings on each side, as printed in a report. A split that already existed on disk has no seed. */
export function splitCounts(split: Split, found?: 'folder'): CheckReport['split'] {
  const { by, seed, train, validation, test } = split;
  return {
    by: found ?? by,
    seed: found ? null : seed,
    train: train.length,
    validation: validation.length,
    test: test.length,
  };
}
