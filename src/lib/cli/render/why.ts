import { plural, size } from '../../core/index.js';
import type { VerifyResult, Why } from '../../model/index.js';
import type { AuditEntry } from '../../registry/index.js';
import { bold, dim } from './style.js';
import { table } from './text.js';
import { day, minute, moment } from './time.js';

/** The lineage as a tree: each line is what the one above it was made of. */
export function whyText(why: Why): string {
  const { bundle, network, float, training, evaluation, dataset, devices, recordings } = why;
  const keys = bundle.keys.map((key) => key.slice(0, 12)).join(', ');
  const lines = [
    `bundle  ${bundle.digest}, ${size(bundle.bytes)}, in ${bundle.stage}, pushed ${minute(bundle.pushed)}, signed by ${keys}`,
    `${network.mode} network  ${network.digest}${evaluation ? `, evaluated with vote ${evaluation.vote}` : ''}`,
    `float network  ${float?.digest ?? unknown}`,
    `training  ${training ? trainingText(training) : unknown}`,
    `dataset  ${dataset ? `${dataset.name}, ${dataset.digest}` : unknown}`,
  ];
  const tree = lines.map((line, i) => `${'   '.repeat(i)}└─ ${line}`);
  const inner = '   '.repeat(lines.length);
  const rows = devices ?? [];
  rows.forEach(({ name, recordings: ids, state }, i) => {
    const by = name === null ? `an ${unknown} device` : `${name}${state === null ? '' : ` (${state})`}`;
    const some = ids.slice(0, 6).join(', ');
    const more = ids.length > 6 ? ', …' : '';
    const branch = i === rows.length - 1 ? '└─' : '├─';
    tree.push(`${inner}${branch} ${plural(ids.length, 'recording')} by ${by}: ${some}${more}`);
  });
  if (!recordings) {
    const table = dataset?.source === 'table';
    tree.push(
      `${inner}└─ ${table ? `${plural(dataset.samples, 'row')} of a table: who recorded them is ${unknown}` : `recordings ${unknown}`}`,
    );
  }
  const run = why.run && `run ${why.run.id}${why.run.cause === null ? '' : `, ${why.run.cause}`}`;
  return [bold(`${why.name}@${why.version}`), ...(run ? [run] : []), ...tree].join('\n');
}

const unknown = 'unknown';

function trainingText({
  kind,
  seed,
  configDigest,
  tools,
  backend,
  bestEpoch,
  created,
}: NonNullable<Why['training']>): string {
  const parts = [
    kind,
    ...(seed === null ? [] : [`seed ${seed}`]),
    ...(bestEpoch === null ? [] : [`epoch ${bestEpoch}`]),
    ...(backend === null ? [] : [`on ${backend}`]),
    `aiot ${tools.aiot ?? unknown}`,
    day(created),
    `aiot.yaml ${configDigest}`,
  ];
  return parts.join(', ');
}

/** What was verified, as facts. */
export function verifiedFacts(result: VerifyResult): [string, string][] {
  const { golden, expires } = result;
  const until =
    expires === null
      ? 'it does not expire'
      : `${result.expired ? 'expired' : 'valid until'} ${moment(expires)}`;
  return [
    ['digest', result.digest],
    [
      'signed',
      `${moment(result.issued)} by ${result.keys.map((key) => key.slice(0, 12)).join(', ')}, ${until}`,
    ],
    ['files', result.files.map(({ name, bytes }) => `${name} ${dim(size(bytes))}`).join(', ')],
    ...(result.unsigned.length === 0
      ? []
      : [['not signed', `${result.unsigned.join(', ')}: beside it, and no part of it`] as [string, string]]),
    ['golden', golden ? `${golden.passed} of ${golden.vectors} vectors` : 'none: a network alone'],
  ];
}

/** What was done with a version, newest first. */
export function historyTable(history: AuditEntry[]): string {
  const rows = history.map(({ at, who, action, detail }) => [
    minute(at),
    action,
    [detail.to ? `to ${detail.to}` : '', detail.reason ?? detail.selector ?? '']
      .filter((text) => text !== '')
      .join(': '),
    who,
  ]);
  return table(['when', 'what', 'detail', 'who'], rows, 'Nothing is written down of it.');
}
