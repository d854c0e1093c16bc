// Figures of a benchmark case, from alternating rounds of aiot and a peer, and their comparison with a goal.

/** One figure of a case, with the measurement of each round. */
export interface Figure {
  name: string;
  /** Unit of `ours` and of the peer: `s`, `ms`, `/s`, `MB`, `bytes` …; `power` is the exponent of a growth. */
  unit: string;
  /** Which direction is better; lower by default. */
  better?: 'lower' | 'higher';
  ours: number | readonly number[];
  /** Rounds of the peer, each measured directly before or after one of ours. */
  peer?: { name: string; version?: string; rounds: readonly number[] };
  /** Limit for ours / peer, or for ours if there is no peer. */
  goal: number;
  /** Factor by which a quick run may miss the goal; 1 for figures that are the same on every machine. */
  slack?: number;
  /** Additional observations. */
  note?: string;
  /** Reason to fail regardless of the figure, such as lost data or differing results. */
  fails?: string;
}

/** A figure as reported: `npm run bench -- --json` prints a list of these. */
export interface Result {
  area: string;
  name: string;
  unit: string;
  better: 'lower' | 'higher';
  /** Medians of the rounds; null if nothing could be measured. */
  ours: number | null;
  peer: number | null;
  peerName: string | null;
  peerVersion: string | null;
  /** ours / peer: the median of the rounds' ratios. */
  ratio: number | null;
  /** Minimum and maximum of the rounds' ratios, or of ours without a peer. */
  spread: [least: number, most: number] | null;
  rounds: number;
  goal: number | null;
  /** Limit of this run: the goal, extended by the slack in a quick run. */
  limit: number | null;
  ok: boolean;
  note?: string;
  /** Reason why there is no figure, or why it does not count. */
  error?: string;
}

/** Default slack of a quick run, which allows for other processes, fewer rounds and less work per round. */
const quickSlack = 2;

export function judge(area: string, figure: Figure, quick: boolean): Result {
  const { name, unit, better = 'lower', peer, goal, slack = quickSlack, note, fails } = figure;
  const ours = typeof figure.ours === 'number' ? [figure.ours] : figure.ours;
  const ratios = peer && ours.map((one, round) => one / (peer.rounds[round] ?? Number.NaN));
  const compared = ratios ?? ours;
  const value = median(compared);
  const factor = quick ? slack : 1;
  const limit = better === 'lower' ? goal * factor : goal / factor;
  const within = better === 'lower' ? value <= limit : value >= limit;
  return {
    ...{ area, name, unit, better },
    ours: median(ours),
    peer: peer ? median(peer.rounds) : null,
    peerName: peer?.name ?? null,
    peerVersion: peer?.version ?? null,
    ratio: ratios ? value : null,
    spread: [Math.min(...compared), Math.max(...compared)],
    ...{ rounds: compared.length, goal, limit, ok: within && fails === undefined },
    ...(note === undefined ? {} : { note }),
    ...(fails === undefined ? {} : { error: fails }),
  };
}

/** Result of a case without a figure: a peer is missing, the case threw, or it took too long. */
export function unmeasured(
  area: string,
  name: string,
  error: string,
  peerName: string | null = null,
): Result {
  return {
    ...{ area, name, unit: '', better: 'lower', ours: null, peer: null, peerName, peerVersion: null },
    ...{ ratio: null, spread: null, rounds: 0, goal: null, limit: null, ok: false, error },
  };
}

/**
 * The exponent in cost ∝ workᵉ: the slope of log cost over log size, by least squares. 1 is linear.
 * @param points at least two sizes
 */
export function exponent(points: readonly { size: number; cost: number }[]): number {
  const logs = points.map(({ size, cost }) => [Math.log(size), Math.log(cost)] as const);
  const mean = (at: 0 | 1) => logs.reduce((sum, one) => sum + one[at], 0) / logs.length;
  const [x, y] = [mean(0), mean(1)];
  const over = logs.reduce((sum, one) => sum + (one[0] - x) * (one[1] - y), 0);
  return over / logs.reduce((sum, one) => sum + (one[0] - x) ** 2, 0);
}

/**
 * Growth of the cost with the amount of work, as one figure. Measured at the initial amount, at 10 times that and, in a full run, at 100
 * times. @param goal limit of the exponent
 */
export function growth(
  what: string,
  goal: number,
  points: readonly { size: number; cost: number }[],
  unit = 's',
): Figure {
  const told = points.map(({ size, cost }) => `${size.toLocaleString('en')}: ${cost.toPrecision(3)} ${unit}`);
  return {
    ...{ name: `growth, ${what}`, unit: 'power', ours: exponent(points), goal },
    ...{ slack: 1.25, note: told.join(', ') },
  };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? (sorted[middle] ?? Number.NaN)
    : ((sorted[middle - 1] ?? Number.NaN) + (sorted[middle] ?? Number.NaN)) / 2;
}
