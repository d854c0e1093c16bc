/**
 * The suffix array of bytes: the start of each suffix, in sorted order. Uses induced sorting (Nong, Zhang and Chan, "Two Efficient
 * Algorithms for Linear Time Suffix Array Construction", 2011). Takes linear time and, in addition to the array, 4.5 bytes of memory per
 * byte. A generator, so that other tasks can run in between.
 */
export function* suffixArray(text: Uint8Array): Steps<Int32Array> {
  return yield* sorted(text, 256);
}

/** Work that pauses every few milliseconds, and finally returns its result. */
export type Steps<T> = Generator<undefined, T, undefined>;

type Text = Uint8Array | Int32Array;

function* sorted(text: Text, symbols: number): Steps<Int32Array> {
  const n = text.length;
  const suffixes = new Int32Array(n);
  if (n < 2) return suffixes;
  // 1 = the suffix is smaller than the next one. The end of the text is smaller than any symbol.
  const smaller = new Uint8Array(n);
  for (let i = n - 2; i >= 0; i--) {
    smaller[i] = text[i]! < text[i + 1]! || (text[i] === text[i + 1] && smaller[i + 1] === 1) ? 1 : 0;
  }
  const isLeftmost = (i: number) => i > 0 && smaller[i] === 1 && smaller[i - 1] === 0;
  const buckets = bucketsOf(text, symbols);
  const leftmost: number[] = [];
  for (let i = 1; i < n; i++) if (isLeftmost(i)) leftmost.push(i);

  yield* induce(text, smaller, buckets, suffixes, leftmost);
  if (leftmost.length > 1) {
    const order = suffixes.filter(isLeftmost);
    const { names, count } = named(text, isLeftmost, order);
    const spelled = Int32Array.from(leftmost, (at) => names[at]!);
    const ranks = count === leftmost.length ? ranked(spelled) : yield* sorted(spelled, count);
    yield* induce(
      text,
      smaller,
      buckets,
      suffixes,
      Array.from(ranks, (rank) => leftmost[rank]!),
    );
  }
  return suffixes;
}

/** Index of the first suffix that starts with each symbol, with one more entry at the end. */
function bucketsOf(text: Text, symbols: number): Int32Array {
  const starts = new Int32Array(symbols + 1);
  for (let i = 0; i < text.length; i++) starts[text[i]! + 1]!++;
  for (let i = 0; i < symbols; i++) starts[i + 1]! += starts[i]!;
  return starts;
}

/** Derives the order of all suffixes from the order of the leftmost smaller suffixes, in two passes. */
function* induce(
  text: Text,
  smaller: Uint8Array,
  starts: Int32Array,
  out: Int32Array,
  leftmost: number[],
): Steps<void> {
  const n = text.length;
  out.fill(-1);
  const ends = starts.slice(1);
  for (let i = leftmost.length - 1; i >= 0; i--) {
    const at = leftmost[i]!;
    out[--ends[text[at]!]!] = at;
  }
  const heads = starts.slice();
  out[heads[text[n - 1]!]!++] = n - 1;
  yield;
  for (let i = 0; i < n; i++) {
    const before = out[i]! - 1;
    if (before >= 0 && smaller[before] === 0) out[heads[text[before]!]!++] = before;
  }
  yield;
  const tails = starts.slice(1);
  for (let i = n - 1; i >= 0; i--) {
    const before = out[i]! - 1;
    if (before >= 0 && smaller[before] === 1) out[--tails[text[before]!]!] = before;
  }
  yield;
}

/** Numbers the pieces between leftmost suffixes. Equal pieces get the same number. */
function named(text: Text, isLeftmost: (at: number) => boolean, order: Int32Array) {
  const names = new Int32Array(text.length);
  let name = 0;
  for (let i = 1; i < order.length; i++) {
    if (!samePiece(text, isLeftmost, order[i - 1]!, order[i]!)) name++;
    names[order[i]!] = name;
  }
  return { names, count: name + 1 };
}

function samePiece(text: Text, isLeftmost: (at: number) => boolean, a: number, b: number): boolean {
  for (let i = 0; ; i++) {
    if (a + i >= text.length || b + i >= text.length || text[a + i] !== text[b + i]) return false;
    const [endsA, endsB] = [i > 0 && isLeftmost(a + i), i > 0 && isLeftmost(b + i)];
    if (endsA || endsB) return endsA && endsB;
  }
}

/** The suffix array of symbols that are all distinct. */
function ranked(symbols: Int32Array): Int32Array {
  const ranks = new Int32Array(symbols.length);
  for (let i = 0; i < symbols.length; i++) ranks[symbols[i]!] = i;
  return ranks;
}
