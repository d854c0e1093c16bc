interface Version {
  /** The version's numbers, as digits without leading zeros, because they may be too large for a double. */
  numbers: string[];
  /** Pre-release identifiers; empty = a release. */
  pre: string[];
}

/**
 * Parses a Semantic Versioning 2.0 version, but with any number of numeric parts and an optional `v` prefix. Build metadata is ignored.
 * Returns null for any other text.
 */
export function parseVersion(text: string): Version | null {
  const match = /^v?(\d+(?:\.\d+)*)(?:-([0-9a-z-]+(?:\.[0-9a-z-]+)*))?(?:\+[0-9a-z.-]+)?$/i.exec(text);
  if (!match) return null;
  return { numbers: (match[1] ?? '').split('.').map(bare), pre: match[2]?.split('.') ?? [] };
}

/**
 * Compares two versions by precedence (semver.org, 11): negative, 0 or positive; null if either is not a version. Missing numbers are 0.
 */
export function compareVersions(a: string, b: string): number | null {
  const left = parseVersion(a);
  const right = parseVersion(b);
  if (!left || !right) return null;
  for (let i = 0; i < Math.max(left.numbers.length, right.numbers.length); i++) {
    const order = compareNumbers(left.numbers[i] ?? '0', right.numbers[i] ?? '0');
    if (order !== 0) return order;
  }
  // A pre-release comes before its release.
  if (left.pre.length === 0 || right.pre.length === 0) return right.pre.length - left.pre.length;
  for (let i = 0; i < Math.max(left.pre.length, right.pre.length); i++) {
    const order = comparePre(left.pre[i], right.pre[i]);
    if (order !== 0) return order;
  }
  return 0;
}

/** Compares two pre-release identifiers: a missing one comes first, and numbers come before text. */
function comparePre(a: string | undefined, b: string | undefined): number {
  if (a === undefined || b === undefined) return a === undefined ? -1 : 1;
  const numeric = [a, b].map((part) => /^\d+$/.test(part));
  if (numeric[0] && numeric[1]) return compareNumbers(bare(a), bare(b));
  if (numeric[0] !== numeric[1]) return numeric[0] ? -1 : 1;
  return compareText(a, b);
}

function compareNumbers(a: string, b: string): number {
  return a.length - b.length || compareText(a, b);
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function bare(digits: string): string {
  return digits.replace(/^0+(?=\d)/, '');
}
