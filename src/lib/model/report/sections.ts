import { thousands } from '../../core/index.js';
import { type Html, html } from '../../formats/index.js';
import { gateText } from '../evaluate/gates.js';
import type { ReportData } from './gather.js';
import { lineChart } from './line-chart.js';

export function gates({ evaluation }: ReportData): Html | null {
  if (!evaluation || evaluation.gates.length === 0) return null;
  const items = evaluation.gates.map((gate) => {
    const badge = gate.passed
      ? html`<span class="badge good">✓ passed</span>`
      : html`<span class="badge bad">✗ failed</span>`;
    return html`<li>${badge}<span>${gateText(gate)}</span></li>`;
  });
  return html`<h2>Gates</h2><ul class="plain">${items}</ul>`;
}

export function curves({ training: { history, bestEpoch } }: ReportData): Html {
  const mark = { x: bestEpoch, text: `kept: epoch ${bestEpoch}` };
  const of = (key: 'loss' | 'accuracy' | 'valLoss' | 'valAccuracy') =>
    history.flatMap((epoch) => epoch[key] ?? []);
  const lowest = Math.min(...of('accuracy'), ...of('valAccuracy'));
  const loss = lineChart({
    title: 'Loss',
    series: [
      { name: 'training', values: of('loss') },
      { name: 'validation', values: of('valLoss') },
    ],
    format: (value) => String(Number(value.toPrecision(3))),
    mark,
  });
  if (of('accuracy').length === 0) return html`<h2>Training</h2><div class="pair">${loss}</div>`;
  const accuracy = lineChart({
    title: 'Accuracy',
    series: [
      { name: 'training', values: of('accuracy') },
      { name: 'validation', values: of('valAccuracy') },
    ],
    range: [lowest < 0.6 ? 0 : lowest < 0.8 ? 0.6 : 0.8, 1],
    format: (value) => `${Math.round(value * 100)} %`,
    mark,
  });
  return html`<h2>Training</h2><div class="pair">${loss}${accuracy}</div>`;
}

export function findings({ findings: list, evaluation }: ReportData): Html | null {
  const badges = { error: 'bad', warning: 'warn', info: 'soft' } as const;
  const found = (list ?? []).map(
    ({ severity, message, advice }) =>
      html`<li><span class="badge ${badges[severity]}">${severity}</span><span>${message}<span class="advice">${advice}</span></span></li>`,
  );
  const limits = (evaluation?.warnings ?? []).map(
    (text) => html`<li><span class="badge warn">limit</span><span>${text}</span></li>`,
  );
  if (found.length + limits.length === 0) return null;
  return html`${found.length > 0 ? html`<h2>What the data check found</h2><ul class="plain">${found}</ul>` : null}${limits.length > 0 ? html`<h2>What this data cannot tell</h2><ul class="plain">${limits}</ul>` : null}`;
}

function answerOf(output: ReportData['training']['network']['output']): string {
  return output.kind === 'classes' ? `${output.count} classes` : `a ${output.kind}`;
}

export function lineage({ training }: ReportData): Html {
  const { split, lineage: from, signal, network, windows } = training;
  const features = Array.isArray(signal.features) ? `${signal.features.length} features` : signal.features;
  const lowpass = signal.lowpassHz === null ? '' : `low-pass ${signal.lowpassHz} Hz → `;
  const facts: [string, string | Html][] = [
    [
      'Recordings',
      `${from.dataset.recordings}, ${thousands(from.dataset.samples)} samples of ${signal.fields.join(', ')}`,
    ],
    ['Dataset', html`<code>${from.dataset.digest}</code>`],
    [
      'Split',
      `by ${split.by}, seed ${split.seed}: ${split.train.length} train, ${split.validation.length} validation, ${split.test.length} test; ${windows.train} and ${windows.validation} windows`,
    ],
    ['Test recordings', split.test.join(', ')],
    [
      'Signal',
      `${signal.rateHz} Hz → ${lowpass}${signal.resampleHz} Hz → ${signal.windowSamples} samples every ${signal.strideSamples} → ${features}`,
    ],
    [
      'Network',
      `${network.kind} of ${network.layers.length} layers, answers with ${answerOf(network.output)}; ${training.history.length} epochs in ${training.seconds.toFixed(1)} s`,
    ],
    ['Settings', html`<code>${from.configDigest}</code>`],
  ];
  return html`<h2>Where it comes from</h2><dl>${facts.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>`;
}
