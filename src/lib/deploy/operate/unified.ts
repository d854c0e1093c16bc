const around = 3;

type Line = { sign: ' ' | '-' | '+'; text: string };

/** A unified diff (GNU diffutils, "Unified Format") of two texts by lines; '' where they are the same. */
export function unifiedDiff(path: string, before: string, after: string): string {
  const lines = compared(linesOf(before), linesOf(after));
  const hunks = hunksOf(lines);
  if (hunks.length === 0) return '';
  const out = [`--- ${before === '' ? '/dev/null' : path}`, `+++ ${after === '' ? '/dev/null' : path}`];
  for (const [from, to] of hunks) {
    const hunk = lines.slice(from, to);
    const count = (sign: '-' | '+') => hunk.filter((line) => line.sign !== (sign === '-' ? '+' : '-')).length;
    const start = (sign: '-' | '+') =>
      lines.slice(0, from).filter((line) => line.sign !== (sign === '-' ? '+' : '-')).length;
    const range = (sign: '-' | '+') => `${start(sign) + (count(sign) === 0 ? 0 : 1)},${count(sign)}`;
    out.push(`@@ -${range('-')} +${range('+')} @@`, ...hunk.map(({ sign, text }) => sign + text));
  }
  return `${out.join('\n')}\n`;
}

function linesOf(text: string): string[] {
  const lines = text.split('\n');
  return lines.at(-1) === '' ? lines.slice(0, -1) : lines;
}

/** By the longest common subsequence of what is between the common beginning and end; files here have some hundred lines. */
function compared(before: string[], after: string[]): Line[] {
  let start = 0;
  while (start < before.length && start < after.length && before[start] === after[start]) start++;
  let end = 0;
  while (
    end < before.length - start &&
    end < after.length - start &&
    before.at(-1 - end) === after.at(-1 - end)
  )
    end++;
  const [a, b] = [before.slice(start, before.length - end), after.slice(start, after.length - end)];
  const width = b.length + 1;
  const longest = new Uint32Array((a.length + 1) * width);
  const at = (i: number, j: number) => longest[i * width + j] ?? 0;
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      longest[i * width + j] = a[i] === b[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
    }
  }
  const middle: Line[] = [];
  for (let i = 0, j = 0; i < a.length || j < b.length; ) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      middle.push({ sign: ' ', text: a[i++]! });
      j++;
    } else if (i < a.length && (j === b.length || at(i + 1, j) >= at(i, j + 1)))
      middle.push({ sign: '-', text: a[i++]! });
    else middle.push({ sign: '+', text: b[j++]! });
  }
  const same = (lines: string[]) => lines.map((text): Line => ({ sign: ' ', text }));
  return [...same(before.slice(0, start)), ...middle, ...same(end === 0 ? [] : before.slice(-end))];
}

function hunksOf(lines: readonly Line[]): [from: number, to: number][] {
  const hunks: [number, number][] = [];
  for (const [index, { sign }] of lines.entries()) {
    if (sign === ' ') continue;
    const from = Math.max(0, index - around);
    const to = Math.min(lines.length, index + around + 1);
    const last = hunks.at(-1);
    if (last && from <= last[1]) last[1] = to;
    else hunks.push([from, to]);
  }
  return hunks;
}
