import type { Candidate } from './result.js';

type Figures = Pick<Candidate, 'score' | 'arenaBytes' | 'macs' | 'latencyUs'>;

/** The score as one that is to be high. */
export function goodness({ score }: Pick<Candidate, 'score'>, lowIsGood: boolean): number {
  if (score === null) return Number.NEGATIVE_INFINITY;
  return lowIsGood ? -score : score;
}

/** Which of them no other one beats: as good in score, arena and latency (multiply-adds where that is unknown), and better in one. */
export function paretoFront(candidates: readonly Figures[], lowIsGood: boolean): boolean[] {
  const costs = candidates.map((each) => [
    -goodness(each, lowIsGood),
    each.arenaBytes ?? Number.POSITIVE_INFINITY,
    each.latencyUs ?? each.macs ?? Number.POSITIVE_INFINITY,
  ]);
  return candidates.map(({ score }, i) => {
    if (score === null) return false;
    const own = costs[i]!;
    return !costs.some(
      (other, j) =>
        j !== i && other.every((cost, k) => cost <= own[k]!) && other.some((cost, k) => cost < own[k]!),
    );
  });
}

/** The best score among those that nothing refuses; of equal ones the smallest arena. */
export function bestOf(candidates: readonly Candidate[], lowIsGood: boolean): number | null {
  const open = [...candidates.keys()].filter(
    (i) => candidates[i]!.refused.length === 0 && candidates[i]!.score !== null,
  );
  open.sort((a, b) => {
    const [one, other] = [candidates[a]!, candidates[b]!];
    const better = goodness(other, lowIsGood) - goodness(one, lowIsGood);
    return better || (one.arenaBytes ?? 0) - (other.arenaBytes ?? 0) || a - b;
  });
  return open[0] ?? null;
}
