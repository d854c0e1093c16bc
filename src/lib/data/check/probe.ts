import { seededRandom, shuffled } from '../../core/index.js';

/** How well one property of recordings tells their labels apart. */
export interface Told {
  /** Labels on the side of higher values, or of the first group of categories; and the rest. */
  high: string[];
  low: string[];
  /** Share of recordings on the side of their label. */
  accuracy: number;
  /** The same with the labels dealt out anew, mean over many deals; and the share of deals that did as well. */
  chance: number;
  p: number;
}

const deals = 199;

/**
 * Whether a number parts the labels in two groups: by a threshold in the widest gap between its values.
 * @param values one a recording @param labels one a recording
 * @param leastGap narrower gaps part nothing
 */
export function toldByNumber(values: number[], labels: string[], leastGap: number): Told | null {
  const sorted = [...new Set(values)].sort((a, b) => a - b);
  let gap = 0;
  let threshold = 0;
  for (let i = 1; i < sorted.length; i++) {
    if (sorted[i]! - sorted[i - 1]! <= gap) continue;
    gap = sorted[i]! - sorted[i - 1]!;
    threshold = (sorted[i]! + sorted[i - 1]!) / 2;
  }
  if (gap < leastGap) return null;
  const above = values.map((value) => value > threshold);
  return told(labels, (dealt) => byMajority(dealt, above));
}

/** Whether categories, such as devices, part the labels in groups that share none of them. */
export function toldByCategory(categories: string[], labels: string[]): Told | null {
  if (new Set(categories).size < 2) return null;
  return told(labels, (dealt) => byComponents(dealt, categories));
}

interface Parted {
  high: string[];
  low: string[];
  accuracy: number;
}

function told(labels: string[], part: (labels: string[]) => Parted | null): Told | null {
  const own = part(labels);
  if (!own) return null;
  const random = seededRandom(11);
  let sum = 0;
  let asGood = 0;
  for (let deal = 0; deal < deals; deal++) {
    const accuracy = part(shuffled(labels, random))?.accuracy ?? 0;
    sum += accuracy;
    if (accuracy >= own.accuracy) asGood++;
  }
  return { ...own, chance: sum / deals, p: (asGood + 1) / (deals + 1) };
}

function byMajority(labels: string[], above: boolean[]): Parted | null {
  const names = [...new Set(labels)].sort();
  const isHigh = (name: string) => {
    const own = above.filter((_, i) => labels[i] === name);
    return own.filter(Boolean).length * 2 > own.length;
  };
  const high = names.filter(isHigh);
  const low = names.filter((name) => !high.includes(name));
  if (high.length === 0 || low.length === 0) return null;
  const right = labels.filter((label, i) => above[i] === high.includes(label)).length;
  return { high, low, accuracy: right / labels.length };
}

/** Labels belong together when a tenth of the recordings of each share a category. */
function byComponents(labels: string[], categories: string[]): Parted | null {
  const names = [...new Set(labels)].sort();
  const counts = new Map<string, Map<string, number>>();
  const totals = new Map<string, number>();
  labels.forEach((label, i) => {
    const own = counts.get(label) ?? new Map<string, number>();
    own.set(categories[i]!, (own.get(categories[i]!) ?? 0) + 1);
    counts.set(label, own);
    totals.set(label, (totals.get(label) ?? 0) + 1);
  });
  const used = (label: string) =>
    [...counts.get(label)!].filter(([, count]) => count >= 0.1 * totals.get(label)!).map(([name]) => name);
  const high = new Set([names[0]!]);
  const reached = new Set(used(names[0]!));
  for (let grown = true; grown; ) {
    grown = false;
    for (const name of names) {
      if (high.has(name) || !used(name).some((category) => reached.has(category))) continue;
      high.add(name);
      for (const category of used(name)) reached.add(category);
      grown = true;
    }
  }
  if (high.size === names.length) return null;
  const right = labels.filter((label, i) => reached.has(categories[i]!) === high.has(label)).length;
  return {
    high: [...high].sort(),
    low: names.filter((name) => !high.has(name)),
    accuracy: right / labels.length,
  };
}
