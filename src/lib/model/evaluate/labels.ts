import { AiotError } from '../../core/errors.js';

/** Labels in the network's numbering of its classes. */
interface MappedLabels {
  /** Class names in the order of the outputs; for a single probability, the names for 0 and 1. */
  classes: string[];
  truth: Int32Array;
  /** A sentence that explains how labels were mapped to classes; null if the mapping was specified. */
  note: string | null;
}

/**
 * Maps each label to a class. If classes are named, a label is a name or its index. Otherwise whole numbers below the number of classes are
 * used as indices. Other labels are numbered in sorted order (numbers by size), if there are as many distinct labels as classes.
 * @param count classes of the network; 2 for one probability
 * @param names from `--classes` or a bundle, in the order of the outputs
 * @throws AIOT_LABELS_UNFIT
 */
export function mapLabels(
  labels: readonly string[],
  count: number,
  names: readonly string[] | null,
): MappedLabels {
  if (names !== null) return byName(labels, count, names);
  const kinds = [...new Set(labels)];
  const indices = kinds.map(Number);
  if (kinds.every((kind, i) => /^\d+$/.test(kind) && indices[i]! < count)) {
    const classes = Array.from({ length: count }, (_, c) => String(c));
    return { classes, truth: Int32Array.from(labels, Number), note: null };
  }
  const classes = kinds.sort(byNumberOrText);
  if (classes.length !== count)
    throw unfit(
      `expected ${count} distinct labels (or 0 to ${count - 1}) for ${count} classes, got ${classes.length}: ${shown(classes)}`,
      'List the classes in the order of the outputs: --classes a,b,c',
    );
  const index = new Map(classes.map((name, c) => [name, c]));
  return {
    classes,
    truth: Int32Array.from(labels, (label) => index.get(label)!),
    note: `labels were numbered in sorted order: ${classes.map((name, c) => `${name} = ${c}`).join(', ')}; use --classes for another order`,
  };
}

/** Labels as real values. @throws AIOT_LABELS_UNFIT */
export function valuesOfLabels(labels: readonly string[]): Float64Array {
  return Float64Array.from(labels, (label, row) => {
    const value = label.trim() === '' ? Number.NaN : Number(label);
    if (Number.isFinite(value)) return value;
    throw unfit(
      `row ${row + 1}: expected a number to compare with the model's value, got "${label}"`,
      'Specify the column of true values with --label NAME, or the kind of output: --output probability',
    );
  });
}

function byName(labels: readonly string[], count: number, names: readonly string[]): MappedLabels {
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (names.length !== count || twice !== undefined)
    throw unfit(
      twice === undefined
        ? `expected ${count} classes for the model's outputs, got ${names.length}: ${shown(names)}`
        : `the class ${twice} is listed twice`,
      `List ${count} classes in the order of the outputs: --classes ${names.slice(0, 2).join(',')}…`,
    );
  const truth = Int32Array.from(labels, (label, row) => {
    const at = names.indexOf(label);
    const number = /^\d+$/.test(label) ? Number(label) : -1;
    if (at >= 0) return at;
    if (number >= 0 && number < count) return number;
    throw unfit(
      `row ${row + 1}: expected one of ${shown(names)}, or its number, got "${label}"`,
      'Correct the label, or list the classes in the order of the outputs: --classes a,b,c',
    );
  });
  return { classes: [...names], truth, note: null };
}

function byNumberOrText(a: string, b: string): number {
  const difference = Number(a) - Number(b);
  if (Number.isFinite(difference)) return difference;
  return a < b ? -1 : a > b ? 1 : 0;
}

function shown(names: readonly string[]): string {
  return names.length > 8 ? `${names.slice(0, 8).join(', ')} and ${names.length - 8} more` : names.join(', ');
}

function unfit(message: string, next: string): AiotError {
  return new AiotError('AIOT_LABELS_UNFIT', message, { next });
}

/** Another order is proposed only if the mean share of correct rows per class increases by this much. */
const farBetter = 0.3;

/** Minimum number of rows for proposing another order. With fewer, a wrong order may fit equally well. */
const enough = 10;

/** An order of the classes that matches a network's predictions far better than the assumed one. */
export interface OtherOrder {
  /** Names in the order of the outputs. */
  classes: string[];
  /** Share of correct rows, averaged over the classes, in the assumed order and in this one. */
  before: number;
  after: number;
}

/**
 * Checks whether a network's outputs seem to represent the classes in another order. Classes have equal weights, regardless of their number
 * of rows. Therefore, no order is better than another for a network that always predicts the same class.
 * @param confusion rows = truth, columns = prediction
 */
export function otherOrder(
  classes: readonly string[],
  confusion: readonly (readonly number[])[],
): OtherOrder | null {
  const support = confusion.map((row) => row.reduce((a, b) => a + b, 0));
  const present = support.filter((rows) => rows > 0).length;
  if (present < 2 || support.reduce((a, b) => a + b, 0) < enough) return null;
  const recall = confusion.map((row, t) => row.map((rows) => rows / Math.max(1, support[t]!)));
  const pairs = recall.flatMap((row, truth) => row.map((share, output) => ({ truth, output, share })));
  // Largest first: if the order is clear, one output predominates for each class. Ties leave the class in place.
  pairs.sort((a, b) => b.share - a.share || Number(b.truth === b.output) - Number(a.truth === a.output));
  const order: (number | undefined)[] = classes.map(() => undefined);
  const placed = new Set<number>();
  let after = 0;
  for (const { truth, output, share } of pairs) {
    if (order[output] !== undefined || placed.has(truth)) continue;
    order[output] = truth;
    placed.add(truth);
    after += share / present;
  }
  const before = recall.reduce((sum, row, c) => sum + row[c]! / present, 0);
  if (after - before < farBetter) return null;
  return { classes: order.map((c) => classes[c!]!), before, after };
}

/** A warning that the classes seem to be in another order, as a sentence. */
export function orderWarning({ classes, before, after }: OtherOrder): string {
  const share = (value: number) => `${Math.round(100 * value)} %`;
  return `another order of the classes fits far better (${share(after)} of each class right on average, instead of ${share(before)}): are the outputs in the order --classes ${classes.join(',')}?`;
}
