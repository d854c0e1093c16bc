import { percent, size, thousands } from '../../core/index.js';
import { gateText } from '../evaluate/gates.js';
import { confusionTable } from './confusion.js';
import type { ReportData } from './gather.js';
import { type Html, html, htmlTable } from './html.js';
import { lineChart } from './line-chart.js';

const score = (value: number) => value.toFixed(3);

export function tiles({ evaluation, live, bytes, training }: ReportData): Html {
  const list: [string, string][] = [];
  if (evaluation) {
    list.push(['macro-F1, int8 by window', score(evaluation.int8.macroF1)]);
    if (evaluation.vote !== 'none')
      list.push([`macro-F1 after ${evaluation.vote}`, score(evaluation.voted.macroF1)]);
    list.push(['macro-F1, float', score(evaluation.float.macroF1)]);
  } else {
    const best = training.history[training.bestEpoch - 1];
    if (best && best.valAccuracy !== null) list.push(['validation accuracy', percent(best.valAccuracy)]);
  }
  if (live) {
    list.push(['macro-F1, live on devices', score(live.macroF1)]);
    list.push(['latency p99 on a device', `${live.latencyMs.p99.toFixed(2)} ms`]);
  }
  list.push(bytes.int8 === null ? ['float network', size(bytes.float)] : ['int8 network', size(bytes.int8)]);
  if (evaluation) list.push(['memory on a chip (arena)', size(evaluation.arenaBytes)]);
  return html`<div class="tiles">${list.map(([name, value]) => html`<div class="tile"><b>${value}</b><span>${name}</span></div>`)}</div>`;
}

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

export function confusions({ evaluation, live, training: { classes } }: ReportData): Html | null {
  if (!evaluation) return null;
  const windows = (count: number) => `${thousands(count)} windows`;
  const tables = [
    confusionTable(
      'Float',
      `${windows(evaluation.float.windows)}, LiteRT`,
      classes,
      evaluation.float.confusion,
    ),
    confusionTable(
      'int8',
      `${windows(evaluation.int8.windows)}, as on a device`,
      classes,
      evaluation.int8.confusion,
    ),
  ];
  if (evaluation.vote !== 'none') {
    const note = windows(evaluation.voted.windows);
    tables.push(confusionTable(`int8 after ${evaluation.vote}`, note, classes, evaluation.voted.confusion));
  }
  if (live) tables.push(confusionTable('Live on devices', windows(live.windows), classes, live.confusion));
  return html`<h2>Confusion, on recordings never trained on</h2><div class="pair">${tables}</div>`;
}

export function perClass({ evaluation }: ReportData): Html | null {
  if (!evaluation) return null;
  const rows = evaluation.perClass.map(({ class: name, support, precision, recall, f1 }) => [
    name,
    thousands(support),
    score(precision),
    score(recall),
    score(f1),
  ]);
  const [low, high] = evaluation.interval;
  return html`<h2>By class, int8</h2>${htmlTable(['Class', 'Windows', 'Precision', 'Recall', 'F1'], rows)}
<p class="lead" style="margin-top:12px">Accuracy ${percent(evaluation.int8.accuracy)}, 95 % interval ${percent(low)} to ${percent(high)} (Wilson, by window; windows of one recording are alike, so the truth is wider). The device interpreter and LiteRT name the same class in ${percent(evaluation.agreement)} of windows.</p>`;
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
