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

/** A text with which a flag compares a field. */
export interface WantedText extends WantedField {
  text: string;
}

/** A text that a flag compares with a field, and that no message contained in this field. */
export interface MissingText {
  flag: string;
  /** Such as `motor.state`. */
  field: string;
  text: string;
  /** Texts that the field contained instead, in order of first occurrence. */
  seen: readonly string[];
}

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

/** Maximum number of other texts of a field that are remembered. */
const mostTexts = 10;

/**
 * Finds fields that occur in no message, and texts that a field never contains. Otherwise, a misspelled name would make a check pass.
 * @param texts the texts with which flags compare fields
 */
export function createMissingFields(wanted: readonly WantedField[], texts: readonly WantedText[] = []) {
  let missing = wanted;
  let awaited = texts.map((one) => ({ ...one, seen: new Set<string>() }));
  let examined = false;
  return {
    /** Examines a decoded payload. Returns immediately once every field has occurred. */
    examine(root: unknown): void {
      examined = true;
      if (missing.length > 0 && missing.some(({ path }) => contains(root, path)))
        missing = missing.filter(({ path }) => !contains(root, path));
      for (const { path, text, seen } of awaited) {
        const value = path.reduce<unknown>(
          (at, name) =>
            typeof at === 'object' && at !== null && Object.hasOwn(at, name)
              ? (at as Record<string, unknown>)[name]
              : undefined,
          root,
        );
        if (value === text) awaited = awaited.filter((one) => one.text !== text || one.path !== path);
        else if (typeof value === 'string' && seen.size < mostTexts) seen.add(value);
      }
    },
    /** Texts that never occurred in their fields, although the fields contained other texts. */
    missingTexts: (): readonly MissingText[] =>
      awaited.flatMap(({ flag, path, text, seen }) =>
        seen.size === 0 ? [] : [{ flag, field: path.join('.'), text, seen: [...seen] }],
      ),
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

interface Missing {
  missing: readonly MissingField[];
  missingTexts?: readonly MissingText[];
  seen: number;
}

/** A sentence about each missing field, such as `--never reads the field latency, which occurred in none of 4 messages`. */
export function missingSentences({ missing, seen }: Missing): string[] {
  return missing.map(
    ({ field, flag }) =>
      `--${flag} reads the field ${field}, which occurred in none of ${plural(seen, 'message')}`,
  );
}

/** A sentence about each text that no message contained, such as `--where expects label = "walk", but label was walking or sitting`. */
export function missingTextSentences({ missingTexts = [], seen }: Missing): string[] {
  return missingTexts.map(
    ({ field, flag, text, seen: others }) =>
      `--${flag} expects ${field} = ${JSON.stringify(text)}, but in ${plural(seen, 'message')} ${field} was ${listed(others)}`,
  );
}

/** Texts as a list, such as `"walking", "sitting" or "running"`. */
function listed(texts: readonly string[]): string {
  const quoted = texts.map((text) => JSON.stringify(text));
  if (texts.length >= mostTexts) return `${quoted.join(', ')}, …`;
  return [quoted.slice(0, -1).join(', '), quoted.at(-1)].filter(Boolean).join(' or ');
}

/** The sentences about missing fields and texts, as the end of an error; empty if nothing is missing. */
export function missingText(end: Missing): string {
  return [...missingSentences(end), ...missingTextSentences(end)].map((sentence) => `; ${sentence}`).join('');
}
