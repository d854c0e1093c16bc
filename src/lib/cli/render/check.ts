import { plural } from '../../core/index.js';
import type { CheckReport } from '../../data/index.js';
import { bold, dim, green, red, yellow } from './style.js';

const marks = { error: () => red('✗'), warning: () => yellow('!'), info: () => dim('i') };

/** Files named after a finding, unless all are asked for. */
const mostFiles = 6;

/** What a check found, worst first: what, what to do, and in which files. */
export function checkText(report: CheckReport, { all = false } = {}): string {
  const { findings } = report;
  const lines = [headOf(report), ...splitOf(report)];
  for (const { severity, kind, message, advice, files } of findings) {
    lines.push('', `${marks[severity]()} ${bold(kind)}  ${message}`, `  ${dim(advice)}`);
    // The message names them where they are few.
    if (files.length > 2) lines.push(`  ${dim(shortened(files, all ? files.length : mostFiles))}`);
  }
  const counts = (['error', 'warning', 'info'] as const).flatMap((severity) => {
    const count = findings.filter((finding) => finding.severity === severity).length;
    return count > 0 ? [plural(count, severity === 'info' ? 'remark' : severity)] : [];
  });
  lines.push('', counts.length > 0 ? counts.join(', ') : green('Nothing found.'));
  return lines.join('\n');
}

function headOf({ of, recordings, samples, rateHz, rateFrom, labelFrom }: CheckReport): string {
  if (of === 'table') return `${plural(samples, 'row')} in ${plural(recordings, 'file')}`;
  const rate = {
    told: `${rateHz} Hz`,
    time: `${rateHz} Hz by the time column`,
    assumed: `taken for ${rateHz} Hz (--rate says it)`,
  }[rateFrom ?? 'told'];
  const labels = {
    name: ', labels from the names',
    folder: ', labels from the folders',
    column: ', labels from a column',
    none: ', no labels',
  };
  return `${plural(recordings, 'recording')}, ${plural(samples, 'sample')}, ${rate}${labelFrom === null ? '' : labels[labelFrom]}`;
}

function splitOf({ split }: CheckReport): string[] {
  if (!split) return [];
  const seed = split.seed === null ? '' : `, seed ${split.seed}`;
  return [
    `Split by ${split.by}${seed}: ${split.train} to train on, ${split.validation} to choose by, ${split.test} to test on`,
  ];
}

/** `a1, a2 … and 12 more`; numbers of one stem are drawn together: `walking1–5`. */
function shortened(files: string[], most: number): string {
  const drawn = ranges(files);
  if (drawn.length <= most) return drawn.join(', ');
  return `${drawn.slice(0, most - 1).join(', ')} and ${drawn.length - most + 1} more (--all names them)`;
}

function ranges(files: string[]): string[] {
  const stems = new Map<string, number[]>();
  const others: string[] = [];
  for (const file of files) {
    const parts = /^(.*?)(\d{1,6})(\.csv)?$/.exec(file);
    if (!parts) others.push(file);
    else {
      const key = `${parts[1]}\n${parts[3] ?? ''}`;
      stems.set(key, [...(stems.get(key) ?? []), Number(parts[2])]);
    }
  }
  const drawn = [...stems].flatMap(([key, numbers]) => {
    const [stem = '', end = ''] = key.split('\n');
    numbers.sort((a, b) => a - b);
    const out: string[] = [];
    for (let i = 0; i < numbers.length; ) {
      let last = i;
      while (numbers[last + 1] === numbers[last]! + 1) last++;
      out.push(last - i > 1 ? `${stem}${numbers[i]}–${numbers[last]}${end}` : `${stem}${numbers[i]}${end}`);
      i = last - i > 1 ? last + 1 : i + 1;
    }
    return out;
  });
  return [...drawn, ...others];
}
