import * as z from 'zod';
import { plural } from '../../core/figures.js';

/** A field of the payload that a flag reads. */
export interface WantedField {
  /** The flag, without its dashes. */
  flag: string;
  /** Names from the root, such as `['motor', 'current']`. */
  path: readonly string[];
}

/** A field that no message contained, such as `motor.current`, and the flag that reads it. */
export const missingFieldSchema = z.object({ field: z.string(), flag: z.string() });
export type MissingField = z.output<typeof missingFieldSchema>;

/** The last line of `stream tail --json` with `--never`, or if a field is missing. */
export const tailSummarySchema = z.object({
  /** Number of messages received. */
  seen: z.int(),
  /** Number of messages that --where selected, which are those that --never checked. */
  checked: z.int(),
  /** Number of messages that matched and were shown. */
  matched: z.int(),
  /** Fields that a flag reads and that occurred in no message. */
  missingFields: z.array(missingFieldSchema),
});
export type TailSummary = z.output<typeof tailSummarySchema>;

/** Finds fields that occur in no message: a misspelled name would otherwise make a check pass. */
export function createMissingFields(wanted: readonly WantedField[]) {
  let missing = wanted;
  let examined = false;
  return {
    /** Examines a decoded payload. Costs nothing once every field has occurred. */
    examine(root: unknown): void {
      examined = true;
      if (missing.length > 0 && missing.some(({ path }) => contains(root, path)))
        missing = missing.filter(({ path }) => !contains(root, path));
    },
    /** The fields that have not occurred; empty if no payload was examined. */
    missing: (): readonly MissingField[] => {
      if (!examined) return [];
      const named = missing.map(({ flag, path }) => ({ field: path.join('.'), flag }));
      return named.filter(
        ({ field, flag }, at) => named.findIndex((one) => one.field === field && one.flag === flag) === at,
      );
    },
  };
}

/** Whether a value has a field. As in JSONata, a name applies to every item of an array. */
function contains(value: unknown, path: readonly string[], from = 0): boolean {
  if (from === path.length) return true;
  if (typeof value !== 'object' || value === null) return false;
  const name = path[from]!;
  if (Object.hasOwn(value, name)) return contains((value as Record<string, unknown>)[name], path, from + 1);
  return Array.isArray(value) && value.some((item) => contains(item, path, from));
}

/** A sentence about each missing field, such as `--never reads the field latency, which occurred in none of 4 messages`. */
export function missingSentences({
  missing,
  seen,
}: {
  missing: readonly MissingField[];
  seen: number;
}): string[] {
  return missing.map(
    ({ field, flag }) =>
      `--${flag} reads the field ${field}, which occurred in none of ${plural(seen, 'message')}`,
  );
}

/** The same sentences as the end of an error; empty if no field is missing. */
export function missingText(end: { missing: readonly MissingField[]; seen: number }): string {
  return missingSentences(end)
    .map((sentence) => `; ${sentence}`)
    .join('');
}
