import { percent } from '../../core/index.js';
import type { SignalSpec } from '../../signal/index.js';
import type { Dataset, Finding, Recording } from '../types.js';
import { type Metadata, metadataOf } from './metadata.js';
import { type Told, toldByCategory, toldByNumber } from './probe.js';
import { removalAdvice, removesRepeats } from './repeats.js';
import { signalAccuracy } from './signal-probe.js';
import { listIds } from './text.js';

/** A property told of that is seen by less than this share of recordings is no shortcut. */
const leastAccuracy = 0.9;
/** Share of deals of the labels that may do as well. */
const mostChance = 0.05;

/** What a property is to a model that looks at windows. */
interface Property {
  by: string;
  told: Told | null;
  /** In windows: the model sees it; around: it says where or when was recorded; outside: windows do not show it. */
  seen: 'in windows' | 'around' | 'outside';
  sentence: (told: Told) => string;
  advice: string;
  /** Whether the project's signal part takes it out. */
  removed: boolean;
}

/**
 * Labels that can be told without the signal: by the way of recording, the device, the day or the length, by a probe that
 * knows nothing else, against the same probe on labels dealt out anew. Repeats need no such proof: they have one cause.
 * @param project whether windows of it are trained on: then what they do not show is only a remark
 */
export function checkShortcuts(dataset: Dataset, spec: SignalSpec, project: boolean): Finding[] {
  const labelled = dataset.recordings.filter(({ label }) => label !== null);
  const labels = labelled.map(({ label }) => label!);
  if (new Set(labels).size < 2) return [];
  const known = labelled.map(metadataOf);
  return properties(known, labels, spec)
    .filter(
      ({ told, by }) => told && told.accuracy >= leastAccuracy && (by === 'repeats' || told.p <= mostChance),
    )
    .map((property) => findingOf(property, labelled, project));
}

function properties(known: Metadata[], labels: string[], spec: SignalSpec): Property[] {
  const numbers = (name: 'repeats' | 'interpolated' | 'resolution') => known.map((one) => one[name]);
  const meanOf = (values: number[], names: string[]) => {
    const own = values.filter((_, i) => names.includes(labels[i]!));
    return own.reduce((sum, value) => sum + value, 0) / own.length;
  };
  const repeats = numbers('repeats');
  const interpolated = numbers('interpolated');
  const lengths = known.map(({ length }) => Math.log10(Math.max(1, length)));
  const category = (name: 'device' | 'day') => known.map((one) => one[name] ?? '');
  return [
    {
      by: 'repeats',
      told: toldByNumber(repeats, labels, 0.05),
      seen: 'in windows',
      sentence: ({ high, low, accuracy }) =>
        `Repeated rows alone give the label away: ${listIds(high)} have them (${percent(meanOf(repeats, high))} of the rows), ${listIds(low)} do not (${percent(meanOf(repeats, low))}). They identify ${Math.round(accuracy * labels.length)} of ${labels.length} recordings, because the two groups were recorded in different ways.`,
      advice: removalAdvice(known, spec),
      removed: removesRepeats(known, spec),
    },
    {
      by: 'interpolation',
      told: toldByNumber(interpolated, labels, 0.1),
      seen: 'in windows',
      sentence: ({ high, low }) =>
        `Interpolated rows give the label away: in ${listIds(high)} every ${ordinal(meanOf(interpolated, high))} row lies exactly between its neighbours, in ${listIds(low)} it does not. The two came at different rates.`,
      advice: 'Bring all recordings to the lowest of their rates: set signal.lowpass and signal.resample.',
      removed: spec.lowpassHz !== null && spec.resampleHz <= 0.5 * spec.rateHz,
    },
    {
      by: 'resolution',
      told: toldByNumber(numbers('resolution'), labels, 0.25),
      seen: 'in windows',
      sentence: ({ high, low }) =>
        `How finely values are rounded gives the label away: ${listIds(high)} are on another grid than ${listIds(low)}. The two were recorded in different ways.`,
      advice:
        'Record all labels with the same sensor and settings; a low-pass (signal.lowpass) blurs the grid.',
      removed: spec.lowpassHz !== null,
    },
    {
      by: 'device',
      told: known.every(({ device }) => device !== null) ? toldByCategory(category('device'), labels) : null,
      seen: 'around',
      sentence: ({ high, low }) =>
        `The device gives the label away: ${listIds(high)} and ${listIds(low)} come from different devices. A model may tell the devices apart and know nothing of what they measured.`,
      advice: 'Record every label on several devices.',
      removed: false,
    },
    {
      by: 'day',
      told: known.every(({ day }) => day !== null) ? toldByCategory(category('day'), labels) : null,
      seen: 'around',
      sentence: ({ high, low }) =>
        `The day gives the label away: ${listIds(high)} and ${listIds(low)} were recorded on different days, and whatever else differed between them is told too.`,
      advice: 'Record every label on several days.',
      removed: false,
    },
    {
      by: 'length',
      told: toldByNumber(lengths, labels, 0.05),
      seen: 'outside',
      sentence: ({ high, low, accuracy }) =>
        `The length of the file gives the label away: recordings of ${listIds(high)} are longer than those of ${listIds(low)} in ${Math.round(accuracy * labels.length)} of ${labels.length} recordings.`,
      advice:
        'Windows do not show it, but it says that the labels were recorded on different occasions: look for what else differs.',
      removed: false,
    },
  ];
}

function ordinal(share: number): string {
  return share > 0.4 ? 'second' : 'few';
}

function findingOf(
  { by, told, seen, sentence, advice, removed }: Property,
  labelled: Recording[],
  project: boolean,
): Finding {
  const { high, low, accuracy, chance, p } = told!;
  const signal = signalAccuracy(labelled, (label) => high.includes(label));
  const severities = {
    'in windows': removed ? 'warning' : 'error',
    around: by === 'device' ? 'error' : 'warning',
    outside: project ? 'info' : 'warning',
  } as const;
  const figures = `(Accuracy of a probe: ${percent(accuracy)} from this alone, ${percent(chance)} with shuffled labels${signal === null ? '' : `, ${percent(signal)} from the signal’s mean, deviation and step`}.)`;
  return {
    kind: 'shortcut',
    severity: severities[seen],
    files: labelled.filter(({ label }) => high.includes(label!)).map(({ id }) => id),
    evidence: { by, accuracy, chance, p, signal, high, low },
    message: `${sentence(told!)} ${figures}`,
    advice,
  };
}
