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
