import { percent, size, thousands } from '../../core/figures.js';
import { shellWord } from '../../core/text.js';
import type { ChipFit, Fit } from '../../model/fit/result.js';
import type { ImportResult } from '../../model/import/import-model.js';
import type { Inspection } from '../../model/inspect/inspection.js';
import { arenaChart } from './chart.js';
import { bold, dim, facts, green, red, shownPath, table, yellow } from './text.js';

/** Contents of a model file: overview, operators and the chips they run on, tensors. */
export function inspectionText(result: Inspection): string {
  const { bundle, arena } = result;
  const whole: [string, string | number][] = [
    ['Size', `${size(result.bytes)}${bundle ? `, of which the model is ${size(result.networkBytes)}` : ''}`],
    ['Data type', result.precision ?? 'unknown'],
    ['Input', result.inputs.map(endText).join('; ')],
    ['Output', result.outputs.map(endText).join('; ')],
    ['Parameters', thousands(result.parameters)],
    ['Multiply-adds', result.macs === null ? 'unknown' : thousands(result.macs)],
    ['Arena', result.arenaBytes === null ? 'none: see below' : size(result.arenaBytes)],
    ...(result.signatures.length > 0
      ? [['Signatures', result.signatures.join(', ')] as [string, string]]
      : []),
    ['Digest', result.digest],
    ...(bundle ? bundleFacts(bundle) : []),
  ];
  const parts = [facts(whole)];
  if (result.notes.length > 0) parts.push(result.notes.map((note) => `${yellow('!')} ${note}`).join('\n'));
  parts.push(bold('Operators'), operators(result));
  if (arena !== null && arena.pieces.length > 0)
    parts.push(bold('Arena, as laid out by the greedy planner'), arenaChart(result));
  parts.push(bold('Tensors'), tensors(result));
  return parts.join('\n\n');
}

/**
 * The next command for a model file without a project. It estimates the model's cost on chips, or generates C code for decision
 * trees, which need no interpreter.
 */
export function fileStep(
  { precision, arenaBytes }: { precision: string | null; arenaBytes: number | null },
  file: string,
): string {
  const name = shellWord(file);
  if (precision === 'forest' && !file.endsWith('.aiot')) return `aiot model quantize ${name} --emit c`;
  return precision === 'forest' || arenaBytes === null
    ? `aiot model compare ${name} OTHER.tflite`
    : `aiot model fit ${name}`;
}

function endText({ type, shape, quantization }: Inspection['inputs'][number]): string {
  const { scale: [scale] = [], zeroPoint: [zero] = [] } = quantization ?? {};
  const quantized = scale === undefined ? '' : `, scale ${scale.toPrecision(5)}, zero point ${zero}`;
  return `${type} [${shape.join('×')}]${quantized}`;
}

function bundleFacts({ info, golden }: NonNullable<Inspection['bundle']>): [string, string][] {
  const { int8, voted } = info.metrics;
  const score = (value: unknown) => (typeof value === 'number' ? value.toFixed(3) : '–');
  return [
    ['Model', `${info.name}${info.classes.length > 0 ? `: ${info.classes.join(', ')}` : ''}`],
    ['Signal', signalText(info.signal)],
    ...(int8.macroF1 === undefined
      ? []
      : [
          [
            'Held-out',
            `macro-F1 ${score(int8.macroF1)} quantized, ${score(voted?.macroF1)} with smoothing ${info.vote}`,
          ] as [string, string],
          ['Accuracy', percent(int8.accuracy ?? 0)] as [string, string],
        ]),
    ['Test vectors', `${golden.passed} of ${golden.vectors} give exactly the same results here`],
    ['Dataset', `${info.lineage.dataset.recordings} recordings, ${info.lineage.dataset.digest}`],
  ];
}

function signalText(signal: NonNullable<Inspection['bundle']>['info']['signal']): string {
  const features = Array.isArray(signal.features) ? `${signal.features.length} features` : signal.features;
  const lowpass = signal.lowpassHz === null ? '' : `, low-pass ${signal.lowpassHz} Hz`;
  return `${signal.fields.join(', ')} at ${signal.rateHz} Hz${lowpass}, ${signal.windowSamples} samples at ${signal.resampleHz} Hz every ${signal.strideSamples}, ${features}`;
}

function operators({ operators: list, tensors }: Inspection): string {
  const named = (indices: number[]) =>
    indices.map((i) => (i < 0 ? '–' : `[${tensors[i]?.shape.join('×')}]`)).join(' ');
  return table(
    ['#', 'operator', 'version', 'inputs', 'output', 'activation', 'multiply-adds'],
    list.map(({ index, op, version, known, inputs, outputs, options, macs }) => [
      index,
      known ? op : `${op} ${yellow('(unknown)')}`,
      version,
      named(inputs),
      named(outputs),
      typeof options.activation === 'string' ? options.activation : '',
      macs,
    ]),
  );
}

function tensors({ tensors: list }: Inspection): string {
  return table(
    ['#', 'tensor', 'type', 'shape', 'bytes', 'kind', 'scale', 'zero'],
    list.map(({ index, name, type, shape, bytes, constant, quantization }) => {
      const scales = quantization?.scale ?? [];
      return [
        index,
        name.length > 48 ? `…${name.slice(-47)}` : name,
        type,
        shape.join('×') || 'scalar',
        bytes,
        constant ? 'constant' : 'activation',
        scales.length > 1 ? `${scales.length} channels` : (scales[0]?.toPrecision(5) ?? null),
        scales.length === 1 ? (quantization?.zeroPoint[0] ?? null) : null,
      ];
    }),
  );
}

const bases = {
  measured: 'from measurements of these kernels on this chip',
  fitted: 'fitted to measurements of whole models on this core',
  transferred: 'derived from another chip: a rough estimate',
} as const;

/** An imported model: its origin, inputs and outputs, validation, and the written file. */
export function importedText(result: ImportResult): string {
  const { validation, inputs, outputs, precision } = result;
  const type = isInteger(result) ? precision : 'float';
  const accuracy: [string, string][] =
    validation?.accuracy == null
      ? []
      : [['Validation', `${percent(validation.accuracy)} of ${validation.examples}`]];
  return facts([
    ['Model', `${result.name}, ${size(result.bytes)} ${type}, ${result.parameters} parameters`],
    ['From', `${result.writer} (${result.format}), ${result.layers} layers`],
    ['Operators', result.ops.join(' ')],
    ...endPairs('Input', inputs),
    ...endPairs('Output', outputs),
    ...accuracy,
    ...result.notes.map((note): [string, string] => ['Note', note]),
    ['File', shownPath(result.file)],
  ]);
}

function isInteger({ precision }: ImportResult): boolean {
  return precision === 'int8' || precision === 'int16x8' || precision === 'mixed';
}

/** The next command after an import. @param at flags of the project, such as ` --project DIR`; null if the model was imported into a file */
export function afterImport(result: ImportResult, at: string | null): string {
  const file = shellWord(shownPath(result.file));
  if (at !== null) return `aiot model quantize${at}`;
  return isInteger(result) ? `aiot model inspect ${file}` : `aiot model quantize ${file} --data rows.csv`;
}

/** Lines about the inputs or outputs of an imported model, numbered if there are several. */
function endPairs(
  title: string,
  ends: readonly { name: string; shape: readonly number[] }[],
): [string, string][] {
  return ends.map(({ name, shape }, at) => [
    ends.length === 1 ? title : `${title} ${at + 1}`,
    `${name} [${shape.join(', ')}]`,
  ]);
}

/**
 * Whether the model fits on chips: verdicts, the layers for a single chip or a table of all chips, predicted and measured values, and
 * their sources.
 */
export function fitText(result: Fit): string {
  const lead = facts([
    ['Network', `${result.precision}, ${size(result.bytes)}, ${thousands(result.macs)} multiply-adds`],
    ['Arena', size(result.arenaBytes)],
  ]);
  const [only] = result.chips;
  const body = result.chips.length === 1 && only ? oneChip(only) : allChips(result.chips);
  const parts = [`${bold(shownPath(result.file))}\n${lead}`, body];
  if (result.measured) parts.push(measuredTable(result.measured));
  parts.push(result.notes.map((note) => dim(`· ${note}`)).join('\n'));
  return parts.join('\n\n');
}

function oneChip(fit: ChipFit): string {
  const { flash, ram, firmware, latency, layers, clockMHz } = fit;
  const mark = (fits: boolean) => (fits ? green('✓') : red('✗'));
  const time = (own: NonNullable<typeof latency>): string => {
    const range = `${milliseconds(own.range[0])} to ${milliseconds(own.range[1])}`;
    const limit = own.most === null ? '' : `, at most ${own.most} ms`;
    return `${mark(own.fits)} ${milliseconds(own.ms)}${limit}; expected range ${range}`;
  };
  const memory = (own: NonNullable<typeof firmware>): string =>
    `${mark(own.fits)} ${size(own.need)} of ${size(own.have)} in the default firmware${own.fits ? '' : '; build it with a larger AIOT_MEMORY_BYTES'}`;
  const verdicts = facts([
    ['Chip', `${fit.title}, ${fit.core} at ${clockMHz} MHz`],
    ['Flash', `${mark(flash.fits)} ${size(flash.need)} of ${size(flash.have)}`],
    ['RAM', `${mark(ram.fits)} ${size(ram.need)} of ${size(ram.have)}`],
    ...(firmware ? [['Firmware', memory(firmware)] as [string, string]] : []),
    ['Latency', latency ? time(latency) : 'not predicted for decision trees'],
    ...(fit.basis ? [['Basis', bases[fit.basis]] as [string, string]] : []),
  ]);
  if (layers.length === 0) return verdicts;
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
  return `${verdicts}\n\n${costs}\n\n${dim('Sources:')}\n${from}`;
}

function allChips(chips: readonly ChipFit[]): string {
  return table(
    ['chip', 'core', 'MHz', 'flash', 'RAM', 'latency', 'expected range', 'basis', 'fits'],
    chips.map(({ chip, core, clockMHz, flash, ram, firmware, latency, basis, fits }) => [
      chip,
      core,
      clockMHz,
      `${size(flash.need)} of ${size(flash.have)}`,
      `${size(ram.need)} of ${size(ram.have)}`,
      latency && milliseconds(latency.ms),
      latency && `${milliseconds(latency.range[0])} to ${milliseconds(latency.range[1])}`,
      basis,
      !fits ? red('no') : firmware?.fits === false ? yellow('with a larger AIOT_MEMORY_BYTES') : green('yes'),
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
  return `${bold(head)}\n${table(['metric', 'predicted', 'measured', 'error'], rows)}`;
}

function milliseconds(ms: number): string {
  return ms < 1 ? `${Math.round(ms * 1000)} µs` : `${ms.toPrecision(3)} ms`;
}
