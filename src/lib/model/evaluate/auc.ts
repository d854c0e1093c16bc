/**
 * The area under the ROC curve as a function of row weights: the chance that a positive row scores above a negative one,
 * ties counting half (Mann and Whitney, 1947; Hanley and McNeil, 1982). Rows are sorted once, so that resampling costs
 * one walk a draw. Null where one side has no weight.
 */
export function weightedAuc(
  scores: ArrayLike<number>,
  positive: (row: number) => boolean,
): (weights?: ArrayLike<number>) => number | null {
  const order = Uint32Array.from({ length: scores.length }, (_, row) => row);
  order.sort((a, b) => scores[a]! - scores[b]!);
  const sides = Uint8Array.from(order, (row) => (positive(row) ? 1 : 0));
  return (weights) => {
    let [below, above, wins] = [0, 0, 0];
    for (let i = 0; i < order.length; ) {
      let [tiedNegative, tiedPositive] = [0, 0];
      const score = scores[order[i]!]!;
      for (; i < order.length && scores[order[i]!]! === score; i++) {
        const weight = weights ? weights[order[i]!]! : 1;
        if (sides[i]) tiedPositive += weight;
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
  return weightedAuc(scores, positive)();
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
    const own = Float64Array.from({ length: truth.length }, (__, row) => scores[row * classes + c]!);
    return weightedAuc(own, (row) => truth[row] === c);
  });
  return (weights) => {
    const known = each.map((auc) => auc(weights)).filter((auc) => auc !== null);
    return known.length === 0 ? null : known.reduce((sum, auc) => sum + auc, 0) / known.length;
  };
}
