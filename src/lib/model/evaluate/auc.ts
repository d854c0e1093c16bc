/** One score a row, wherever it lies. */
interface Scores {
  rows: number;
  of(row: number): number;
}

/**
 * The area under the ROC curve as a function of row weights: the chance that a positive row scores above a negative one,
 * ties counting half (Mann and Whitney, 1947; Hanley and McNeil, 1982). Rows are sorted once, so that resampling costs
 * one walk a draw. Null where one side has no weight.
 */
export function weightedAuc(
  scores: Scores,
  positive: (row: number) => boolean,
): (weights?: ArrayLike<number>) => number | null {
  const { rows, of } = scores;
  const order = new Uint32Array(rows);
  for (let row = 0; row < rows; row++) order[row] = row;
  order.sort((a, b) => of(a) - of(b));
  return (weights) => {
    let [below, above, wins] = [0, 0, 0];
    for (let i = 0; i < order.length; ) {
      let [tiedNegative, tiedPositive] = [0, 0];
      const score = of(order[i]!);
      for (; i < order.length && of(order[i]!) === score; i++) {
        const row = order[i]!;
        const weight = weights ? weights[row]! : 1;
        if (positive(row)) tiedPositive += weight;
        else tiedNegative += weight;
      }
      wins += tiedPositive * (below + tiedNegative / 2);
      below += tiedNegative;
      above += tiedPositive;
    }
    return below > 0 && above > 0 ? wins / (below * above) : null;
  };
}

/** Area under the ROC curve of one score; null unless there are rows of both sides. */
export function aucOf(scores: ArrayLike<number>, positive: (row: number) => boolean): number | null {
  return weightedAuc({ rows: scores.length, of: (row) => scores[row]! }, positive)();
}

/**
 * Each class against all others, averaged over the classes that have rows (Hand and Till's alternative of one against the
 * rest; scikit-learn's `multi_class="ovr", average="macro"`). Two classes: the second one's score decides, the same
 * for both.
 * @param scores [rows × classes], row-major
 */
export function macroAuc(
  truth: ArrayLike<number>,
  scores: ArrayLike<number>,
  classes: number,
): (weights?: ArrayLike<number>) => number | null {
  const each = Array.from({ length: classes }, (_, c) => {
    const own = { rows: truth.length, of: (row: number) => scores[row * classes + c]! };
    return weightedAuc(own, (row) => truth[row] === c);
  });
  return (weights) => {
    const known = each.map((auc) => auc(weights)).filter((auc) => auc !== null);
    return known.length === 0 ? null : known.reduce((sum, auc) => sum + auc, 0) / known.length;
  };
}
