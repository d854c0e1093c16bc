import { thousands } from '../../core/index.js';
import { checkList, factList, type Html, html, lineChart } from '../../formats/index.js';
import { gateText } from '../evaluate/gates.js';
import type { Gate } from '../evaluate/types.js';
import type { ReportData } from './gather.js';

export function gates(list: readonly Gate[]): Html | null {
  if (list.length === 0) return null;
  return html`<h2>Gates</h2>${checkList(list.map((gate) => ({ passed: gate.passed, text: gateText(gate) })))}`;
}

export function curves({ training: { history, bestEpoch } }: ReportData): Html | null {
  // An own program that trained tells of no epoch.
  if (history.length === 0) return null;
  const mark = { x: bestEpoch, text: `kept: epoch ${bestEpoch}` };
  const of = (key: 'loss' | 'accuracy' | 'valLoss' | 'valAccuracy') =>
    history.flatMap((epoch) => epoch[key] ?? []);
  const lowest = Math.min(...of('accuracy'), ...of('valAccuracy'));
  const loss = lineChart({
    ...{ title: 'Loss', by: 'epoch', mark },
    series: [
      { name: 'training', values: of('loss') },
      { name: 'validation', values: of('valLoss') },
    ],
    format: (value) => String(Number(value.toPrecision(3))),
  });
  if (of('accuracy').length === 0) return html`<h2>Training</h2><div class="pair">${loss}</div>`;
  const accuracy = lineChart({
    ...{ title: 'Accuracy', by: 'epoch', mark },
    series: [
      { name: 'training', values: of('accuracy') },
      { name: 'validation', values: of('valAccuracy') },
    ],
    range: [lowest < 0.6 ? 0 : lowest < 0.8 ? 0.6 : 0.8, 1],
    format: (value) => `${Math.round(value * 100)} %`,
  });
  return html`<h2>Training</h2><div class="pair">${loss}${accuracy}</div>`;
}

export function findings({ findings: list, evaluation, training }: ReportData): Html | null {
  const badges = { error: 'bad', warning: 'warn', info: 'soft' } as const;
  const found = (list ?? []).map(
    ({ severity, message, advice }) =>
      html`<li><span class="badge ${badges[severity]}">${severity}</span><span>${message}<span class="advice">${advice}</span></span></li>`,
  );
  const limits = limitList([...training.notes, ...(evaluation?.warnings ?? [])]);
  if (found.length === 0 && limits === null) return null;
  return html`${found.length > 0 ? html`<h2>What the data check found</h2><ul class="plain">${found}</ul>` : null}${limits}`;
}

/** What figures cannot show, in sentences. */
export function limitList(sentences: readonly string[]): Html | null {
  if (sentences.length === 0) return null;
  const items = sentences.map(
    (text) => html`<li><span class="badge warn">limit</span><span>${text}</span></li>`,
  );
  return html`<h2>What this data cannot tell</h2><ul class="plain">${items}</ul>`;
}

function answerOf(output: ReportData['training']['network']['output']): string {
  return output.kind === 'classes' ? `${output.count} classes` : `a ${output.kind}`;
}

export function lineage({ training, settings }: ReportData): Html {
  const { split, lineage: from, signal, network, windows, source, labels } = training;
  const features = Array.isArray(signal.features) ? `${signal.features.length} features` : signal.features;
  const lowpass = signal.lowpassHz === null ? '' : `low-pass ${signal.lowpassHz} Hz → `;
  const table = source.kind === 'table';
  const classes = Object.entries(labels).map(([name, own]) =>
    own.length === 1 && own[0] === name ? name : `${name} (${own.join(', ')})`,
  );
  const facts: [string, string | Html][] = [
    table
      ? ['Rows', `${thousands(from.dataset.samples)} of ${source.columns.length} columns`]
      : [
          'Recordings',
          `${from.dataset.recordings}, ${thousands(from.dataset.samples)} samples of ${signal.fields.join(', ')}`,
        ],
    ['Dataset', html`<code>${from.dataset.digest}</code>`],
    [
      'Split',
      `by ${split.by}, seed ${split.seed}: ${split.train.length} train, ${split.validation.length} validation, ${split.test.length} test; ${thousands(windows.train)} and ${thousands(windows.validation)} ${table ? 'rows' : 'windows'}`,
    ],
    ...(table ? [] : ([['Test recordings', split.test.join(', ')]] as [string, string][])),
    ...(classes.length > 0 ? ([['Classes', classes.join(', ')]] as [string, string][]) : []),
    ...(table
      ? []
      : ([
          [
            'Signal',
            `${signal.rateHz} Hz → ${lowpass}${signal.resampleHz} Hz → ${signal.windowSamples} samples every ${signal.strideSamples} → ${features}`,
          ],
        ] as [string, string][])),
    [
      'Network',
      `${training.choice?.kept === 'linear' ? 'a linear model, one dense layer' : `${network.kind} of ${network.layers.length} layers`}, answers with ${answerOf(network.output)}; ${training.history.length} epochs in ${training.seconds.toFixed(1)} s on ${training.backend}${training.interrupted ? ', stopped before the last one' : ''}`,
    ],
    ...(settings
      ? ([
          [
            'Training',
            `${settings.epochs} epochs, batches of ${settings.batch}, learning rate ${settings.learningRate}, seed ${settings.seed}`,
          ],
        ] as [string, string][])
      : []),
    ['Settings', html`<code>${from.configDigest}</code>`],
  ];
  return html`<h2>Where it comes from</h2>${factList(facts)}`;
}
