/** Share of two classes' windows taken for each other, from which on the data does not tell them apart. */
const confusedShare = 0.25;
/** Fewer windows than this make every figure uncertain by several points. */
const fewWindows = 30;

/**
 * What the figures cannot show or should not be trusted for, in sentences.
 * @param recordings test recordings (or groups of rows) of each class, by its index
 * @param unit what is counted: windows or rows
 */
export function warningsOf(
  classes: string[],
  confusion: number[][],
  recordings: Map<number, number>,
  unit = 'windows',
): string[] {
  const warnings: string[] = [];
  const support = confusion.map((row) => row.reduce((a, b) => a + b, 0));
  for (let a = 0; a < classes.length; a++) {
    for (let b = a + 1; b < classes.length; b++) {
      const mixed = confusion[a]![b]! + confusion[b]![a]!;
      const total = support[a]! + support[b]!;
      if (total > 0 && mixed / total >= confusedShare) {
        const share = Math.round((100 * mixed) / total);
        warnings.push(
          `${classes[a]} and ${classes[b]} are taken for each other in ${share} % of their ${unit}: these recordings hardly tell them apart`,
        );
      }
    }
  }
  classes.forEach((name, c) => {
    const few = support[c]! < fewWindows;
    const alone = (recordings.get(c) ?? 0) < 2;
    const of = alone ? ' of one recording: another person or day may differ' : '';
    if (few || alone) warnings.push(`${name}: measured on ${few ? 'only ' : ''}${support[c]} ${unit}${of}`);
  });
  return warnings;
}
