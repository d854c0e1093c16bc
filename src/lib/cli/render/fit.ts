import { percent, size, thousands } from '../../core/index.js';
import type { ChipFit, Fit } from '../../model/index.js';
import { bold, dim, green, red } from './style.js';
import { facts, table } from './text.js';

const bases = {
  measured: 'from figures of these kernels on this chip',
  fitted: 'fitted to whole networks on this core',
  transferred: 'taken over from another chip: a rough guess',
} as const;

/** Verdicts, the layers of one chip or the table of all, predicted against measured, and where the figures come from. */
export function fitText(result: Fit): string {
  const lead = facts([
    ['Network', `${result.precision}, ${size(result.bytes)}, ${thousands(result.macs)} multiply-adds`],
    ['Arena', size(result.arenaBytes)],
  ]);
  const [only] = result.chips;
  const body = result.chips.length === 1 && only ? oneChip(only) : allChips(result.chips);
  const parts = [`${bold(result.file)}\n${lead}`, body];
  if (result.measured) parts.push(measuredTable(result.measured));
  parts.push(result.notes.map((note) => dim(`· ${note}`)).join('\n'));
  return parts.join('\n\n');
}

function oneChip(fit: ChipFit): string {
  const { flash, ram, latency, layers, clockMHz } = fit;
  const mark = (fits: boolean) => (fits ? green('✓') : red('✗'));
  const range = `${milliseconds(latency.range[0])} to ${milliseconds(latency.range[1])}`;
  const limit = latency.most === null ? '' : `, at most ${latency.most} ms`;
  const verdicts = facts([
    ['Chip', `${fit.title}, ${fit.core} at ${clockMHz} MHz`],
    ['Flash', `${mark(flash.fits)} ${size(flash.need)} of ${size(flash.have)}`],
    ['RAM', `${mark(ram.fits)} ${size(ram.need)} of ${size(ram.have)}`],
    ['Latency', `${mark(latency.fits)} ${milliseconds(latency.ms)}${limit}; expected within ${range}`],
    ['Basis', bases[fit.basis]],
  ]);
  const rows = layers.map(({ index, op, macs, cycles, ms, kernels }) => [
    index,
    op,
    macs,
    cycles,
    milliseconds(ms),
    kernels,
  ]);
  const costs = table(['#', 'operator', 'multiply-adds', 'cycles', 'predicted', 'kernels'], rows);
  const from = fit.sources.map(({ title, url }) => dim(`  ${title}\n  ${url}`)).join('\n');
  return `${verdicts}\n\n${costs}\n\n${dim('Figures from:')}\n${from}`;
}

function allChips(chips: readonly ChipFit[]): string {
  return table(
    ['chip', 'core', 'MHz', 'flash', 'RAM', 'latency', 'expected within', 'basis', 'fits'],
    chips.map(({ chip, core, clockMHz, flash, ram, latency, basis, fits }) => [
      chip,
      core,
      clockMHz,
      `${size(flash.need)} of ${size(flash.have)}`,
      `${size(ram.need)} of ${size(ram.have)}`,
      milliseconds(latency.ms),
      `${milliseconds(latency.range[0])} to ${milliseconds(latency.range[1])}`,
      basis,
      fits ? green('yes') : red('no'),
    ]),
  );
}

function measuredTable({ file, reports, figures }: NonNullable<Fit['measured']>): string {
  const rows = figures.map(({ what, predicted, measured, error }) => [
    what,
    Number(predicted.toPrecision(4)),
    Number(measured.toPrecision(4)),
    `${error > 0 ? '+' : ''}${percent(error, 0)}`,
  ]);
  const head = `${reports} report${reports === 1 ? '' : 's'} of ${file}; their median`;
  return `${bold(head)}\n${table(['figure', 'predicted', 'measured', 'error'], rows)}`;
}

function milliseconds(ms: number): string {
  return ms < 1 ? `${Math.round(ms * 1000)} µs` : `${ms.toPrecision(3)} ms`;
}
