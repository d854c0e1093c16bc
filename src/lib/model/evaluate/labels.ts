import { AiotError } from '../../core/errors.js';

/** Labels as the network numbers its classes. */
interface MappedLabels {
  /** Names in the order of the outputs; of one probability [the 0, the 1]. */
  classes: string[];
  truth: Int32Array;
  /** How labels became classes, when nobody said it: a sentence for whoever reads the figures. */
  note: string | null;
}

/**
 * Which class each label is. Named classes: the label is one of the names, or its number. Otherwise whole numbers below
 * the number of classes are indices as they stand, and any other labels are numbered in their sorted order (numbers by
 * size), when there are as many kinds of them as classes.
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
      `expected ${count} kinds of labels (or 0 to ${count - 1}) for ${count} classes, got ${classes.length}: ${shown(classes)}`,
      'Name the classes in the order of the outputs: --classes a,b,c',
    );
  const index = new Map(classes.map((name, c) => [name, c]));
  return {
    classes,
    truth: Int32Array.from(labels, (label) => index.get(label)!),
    note: `labels were numbered in sorted order: ${classes.map((name, c) => `${name} = ${c}`).join(', ')}; --classes says another`,
  };
}

/** Labels as real values. @throws AIOT_LABELS_UNFIT */
export function valuesOfLabels(labels: readonly string[]): Float64Array {
  return Float64Array.from(labels, (label, row) => {
    const value = label.trim() === '' ? Number.NaN : Number(label);
    if (Number.isFinite(value)) return value;
    throw unfit(
      `row ${row + 1}: expected a number to compare the network's value with, got "${label}"`,
      'Give the column of true values (--label NAME), or say what the output is: --output probability',
    );
  });
}

function byName(labels: readonly string[], count: number, names: readonly string[]): MappedLabels {
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (names.length !== count || twice !== undefined)
    throw unfit(
      twice === undefined
        ? `expected ${count} classes for the network's outputs, got ${names.length}: ${shown(names)}`
        : `the class ${twice} is named twice`,
      `Name ${count} classes in the order of the outputs: --classes ${names.slice(0, 2).join(',')}…`,
    );
  const truth = Int32Array.from(labels, (label, row) => {
    const at = names.indexOf(label);
    const number = /^\d+$/.test(label) ? Number(label) : -1;
    if (at >= 0) return at;
    if (number >= 0 && number < count) return number;
    throw unfit(
      `row ${row + 1}: expected one of ${shown(names)}, or its number, got "${label}"`,
      'Correct the label, or name the classes in the order of the outputs: --classes a,b,c',
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

/** So much more of each class, on average, another order must get right before it is proposed. */
const farBetter = 0.3;

/** Fewer rows show an order by chance. */
const enough = 10;

/** An order of the classes that fits a network's answers far better than the one they were read in. */
export interface OtherOrder {
  /** Names in the order of the outputs. */
  classes: string[];
  /** Share of each class that is right, averaged over the classes: as read, and in this order. */
  before: number;
  after: number;
}

/**
 * Whether a network's outputs seem to stand for the classes in another order. Classes weigh the same whatever their number of
 * rows, so a network that always gives one answer fits no order better than another.
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
  // The largest first: where an order is clear at all, each class has one output that most of its rows get. Ties keep
  // the class where it is.
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

/** The same as a sentence for whoever reads the figures. */
export function orderWarning({ classes, before, after }: OtherOrder): string {
  const share = (value: number) => `${Math.round(100 * value)} %`;
  return `another order of the classes fits far better (${share(after)} of each class right on average, instead of ${share(before)}): are the outputs in the order --classes ${classes.join(',')}?`;
}
