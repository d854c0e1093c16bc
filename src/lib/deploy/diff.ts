import { join, resolve } from 'node:path';
import * as z from 'zod';
import { AiotError, unless } from '../core/errors.js';
import { readText } from '../core/files.js';
import { compareWith, fileStates, renderedTargets } from './folder.js';
import { type FilesOptions, filesOf } from './render.js';
import { type TargetName, targetNames } from './targets.js';

export const deployDiffSchema = z.object({
  /** Absolute path of the folder. */
  dir: z.string(),
  targets: z.array(z.string()),
  /** Whether rendering now would change nothing. */
  same: z.boolean(),
  files: z.array(
    z.object({
      target: z.string(),
      path: z.string(),
      /** `edited`: the file was edited after it was rendered. `left`: an earlier rendering created it, but the current one does not. */
      did: z.enum(fileStates),
      /** Unified diff. Lines with `-` are in the folder; lines with `+` would be rendered. */
      diff: z.string(),
    }),
  ),
});

export type DeployDiff = z.output<typeof deployDiffSchema>;

/** Shows how rendering would change a folder, without writing anything. @throws AIOT_DEPLOY_NOTHING, and the errors of renderDeployment */
export async function diffDeployment({
  dir: folder,
  ...options
}: Omit<FilesOptions, 'target'> & { dir: string }): Promise<DeployDiff> {
  const dir = resolve(folder);
  const targets = (await renderedTargets(dir)).filter((name): name is TargetName =>
    (targetNames as string[]).includes(name),
  );
  if (targets.length === 0)
    throw new AiotError('AIOT_DEPLOY_NOTHING', `${dir} contains no rendered deployment`);
  const files: DeployDiff['files'] = [];
  for (const target of targets) {
    const { files: rendered } = await filesOf({ ...options, target });
    const texts = new Map(rendered.map(({ path, text }) => [path, text]));
    for (const { path, did } of await compareWith(dir, target, rendered)) {
      if (did === 'unchanged') continue;
      const before = (await unless('AIOT_FILE_NOT_FOUND', readText(join(dir, path)))) ?? '';
      const after = did === 'left' ? '' : (texts.get(path) ?? '');
      files.push({ target, path, did, diff: unifiedDiff(path, before, after) });
    }
  }
  return { dir, targets, same: files.length === 0, files };
}

const around = 3;

type Line = { sign: ' ' | '-' | '+'; text: string };

/** A unified diff (GNU diffutils, "Unified Format") of two texts, line by line; '' if they are equal. */
function unifiedDiff(path: string, before: string, after: string): string {
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

/**
 * Compares two texts by the longest common subsequence of the lines between their common prefix and suffix. Quadratic, which is acceptable
 * for files of a few hundred lines.
 */
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
