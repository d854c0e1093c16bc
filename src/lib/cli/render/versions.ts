import { percent, plural, size } from '../../core/figures.js';
import { printable } from '../../core/text.js';
import type { GuidePushed } from '../../model/publish/guide.js';
import type { OciPushed } from '../../model/publish/oci.js';
import type { PushResult } from '../../model/publish/push.js';
import type { VerifyResult } from '../../model/publish/verify.js';
import type { Why } from '../../model/publish/why.js';
import type { TrustChange, TrustStatus } from '../../provision/trust.js';
import type { AuditEntry, ModelVersion } from '../../registry/api.js';
import type { ConfigVersion } from '../../registry/config-api.js';
import type { FirmwareVersion } from '../../registry/firmware-api.js';
import type { GuideProvisioned } from '../../registry/guide/provision.js';
import type { SignatureResult } from '../../registry/signatures.js';
import type { ToSign } from '../../registry/to-sign.js';
import { bold, dim, yellow } from './style.js';
import { facts, next, table } from './text.js';
import { day, minute, moment } from './time.js';

type Figures = NonNullable<ModelVersion['metrics']>['int8'];

/** The figure that says most of a network; macro-F1 is no share of anything, so it is written as a number. */
function mainFigure(figures: Figures): string {
  const { macroF1, accuracy, mae, auc } = figures;
  if (typeof macroF1 === 'number') return `macro-F1 ${macroF1.toFixed(3)}`;
  if (typeof mae === 'number') return `mean error ${Number(mae.toPrecision(3))}`;
  if (typeof auc === 'number') return `AUC ${auc.toFixed(3)}`;
  return typeof accuracy === 'number' ? percent(accuracy) : `over ${plural(figures.windows, 'window')}`;
}

/** One figure of the quantized network. */
export function figureText({ metrics }: ModelVersion): string {
  return metrics ? mainFigure(metrics.int8) : 'not evaluated';
}

/** The float network, the quantized one, and the vote. */
export function figuresText({ metrics, mode }: ModelVersion): string {
  if (!metrics) return 'not evaluated';
  const { float, int8, voted } = metrics;
  const parts = [`float ${mainFigure(float)}`, `${mode} ${mainFigure(int8)}`];
  if (voted) parts.push(`voted ${mainFigure(voted)}`);
  return parts.join(', ');
}

/** What it answers with. */
export function answerText({ answer, classes, mode }: ModelVersion): string {
  if (!answer) return `nobody said what (a ${mode} network alone)`;
  if (answer.kind === 'value') return `values: ${Array.isArray(answer.names) ? answer.names.join(', ') : ''}`;
  const { threshold } = answer;
  const names = `${answer.kind}: ${classes.join(', ')}`;
  if (typeof threshold !== 'number') return names;
  const where = answer.kind === 'reconstruction' ? 'above an error of' : 'from a probability of';
  return `${names}; ${classes[1]} ${where} ${Number(threshold.toPrecision(4))}`;
}

export function datasetText({ lineage }: ModelVersion): string {
  if (!lineage) return 'unknown';
  const { name, recordings, samples, digest } = lineage.dataset;
  const count = recordings > 0 ? plural(recordings, 'recording') : plural(samples, 'row');
  return `${name}: ${count}, ${digest}`;
}

/** One version of a configuration, and what a device does with it. */
export function configFacts(card: ConfigVersion): string {
  const { config, digest, bytes, deviceTypes, sequence, pushed } = card;
  const { sampleHz, telemetry, report, mqtt, rule } = config;
  const safe = rule.safeOn ? 'on' : 'off';
  return facts([
    ['samples', sampleHz === undefined ? 'as the sensor gives them' : `${sampleHz} Hz`],
    ['telemetry', telemetry.publish ? `a message every ${telemetry.intervalMs} ms` : 'none'],
    ['report', report.intervalMs === 0 ? 'on changes' : `on changes, and every ${report.intervalMs} ms`],
    ['keep-alive', `${mqtt.keepAliveS} s`],
    [
      'actuator',
      `on above ${rule.onAbove} for ${rule.minOnMs} ms at least, off below ${rule.offBelow} for ${rule.minOffMs} ms at least; ${safe} after ${rule.lossMs} ms without an answer`,
    ],
    ['for', deviceTypes.join(', ')],
    ['document', `${size(bytes)}, ${digest}`],
    ['signed', `manifest ${sequence}`],
    ['pushed', `${minute(pushed)} UTC`],
  ]);
}

/** Versions, a row each. */
export function configTable(rows: readonly ConfigVersion[], empty: string): string {
  return table(
    ['name', 'version', 'samples', 'report', 'for', 'pushed'],
    rows.map(({ name, version, config, deviceTypes, pushed }) => [
      name,
      version,
      config.sampleHz === undefined ? null : `${config.sampleHz} Hz`,
      config.report.intervalMs === 0 ? 'on changes' : `${config.report.intervalMs} ms`,
      deviceTypes.join(', '),
      minute(pushed),
    ]),
    empty,
  );
}

const bundleNames = {
  swu: 'a bundle of SWUpdate',
  raucb: 'a bundle of RAUC',
  mcuboot: 'an image for MCUboot',
};

/** One version of a firmware. */
export function firmwareFacts({
  digest,
  bytes,
  chip,
  deviceTypes,
  app,
  bundle,
  sequence,
  pushed,
}: FirmwareVersion): string {
  return facts([
    ['image', `${size(bytes)}, ${digest}`],
    ['chip', chip ?? (bundle ? `none: ${bundleNames[bundle]}` : 'none: a program of a computer')],
    ['for', deviceTypes.join(', ')],
    [
      'program',
      app ? `${app.project} ${app.version}, built ${app.built} with ESP-IDF ${app.idf}` : 'does not say',
    ],
    ['signed', `manifest ${sequence}`],
    ['pushed', `${minute(pushed)} UTC`],
  ]);
}

/** Versions, a row each. */
export function firmwareTable(rows: readonly FirmwareVersion[], empty: string): string {
  return table(
    ['name', 'version', 'chip', 'for', 'program', 'size', 'pushed'],
    rows.map(({ name, version, chip, deviceTypes, app, bytes, pushed }) => [
      name,
      version,
      chip,
      deviceTypes.join(', '),
      app ? app.version : null,
      size(bytes),
      minute(pushed),
    ]),
    empty,
  );
}

export function pushedText(
  { name, version, bytes, digest, sameAs, sequence }: PushResult,
  url: string,
): string {
  const same = sameAs === null ? '' : `, the same as ${name}@${sameAs} and stored once`;
  return facts([
    ['Pushed', `${name}@${version} to ${url}`],
    ['Bundle', `${size(bytes)}, ${digest}${same}`],
    ['Signed', `manifest ${sequence}`],
  ]);
}

export function ociPushedText(pushed: OciPushed): string {
  const { name, version, reference, bytes, digest, manifest, unchanged } = pushed;
  return facts([
    ['Pushed', `${name}@${version} to ${reference}${unchanged ? ', which had its bundle' : ''}`],
    ['Bundle', `${size(bytes)}, ${digest}`],
    ['Artifact', manifest],
  ]);
}

/** A board that an installation of the guide's services knows now. */
export function guideProvisionedText({ chipId, url, confirmed }: GuideProvisioned): string {
  const begins = confirmed
    ? 'its firmware may begin'
    : yellow('its firmware is not confirmed: was it revoked?');
  return `${bold(chipId)} is known at ${new URL(url).origin}, and ${begins}.`;
}

/** A model that an installation of the guide's services has now, and how its boards are told. */
export function guidePushedText({ name, url, bytes, digest, whole, message }: GuidePushed): string {
  const lines = facts([
    ['Uploaded', `${name} to ${new URL(url).origin}`],
    ['Network', `${size(bytes)}, ${digest}`],
    ...(whole
      ? []
      : [['', yellow('longer than the 11,148 bytes that the guide’s firmware reads')] as [string, string]]),
  ]);
  return `${lines}\n${next(`aiot stream pub kafka://HOST:PORT/control-message '${message}'`)}`;
}

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

const short = (ids: readonly string[]) => ids.map((id) => id.slice(0, 8)).join(' ') || 'none';

export function trustStatusText(status: TrustStatus): string {
  const { version, apart, expires, signedBy, roles, timestamp, warnings } = status;
  const rows = roles.map(({ role, threshold, keyids }) => [
    role,
    `${threshold} of ${keyids.length}`,
    short(keyids),
  ]);
  const about = facts([
    ['Root', version === null ? 'none' : apart ? String(version) : `${version}, of one key for everything`],
    ['Expires', expires === null ? 'never' : day(expires)],
    ...(apart ? [['Signed by', short(signedBy)] as [string, string]] : []),
    [
      'Timestamp',
      timestamp
        ? `${timestamp.version}, until ${minute(timestamp.expires)} UTC`
        : 'none: freezes go unnoticed',
    ],
  ]);
  const warned = warnings.map((text) => `${yellow('!')} ${text}`);
  return [about, table(['role', 'wanted', 'keys'], rows, 'No keys.'), ...warned].join('\n\n');
}

export function trustChangeText({ version, expires, added, removed, files }: TrustChange): string {
  return facts([
    ['Root', `${version}, until ${day(expires)}`],
    ['Added', short(added)],
    ['Removed', short(removed)],
    ...files.map((file, i): [string, string] => [i === 0 ? 'Written' : '', file]),
  ]);
}

export function signatureText(result: SignatureResult): string {
  const { kind, name, version, signed, wanted, published, dryRun, release } = result;
  const state = published ? 'published' : `not published: ${Math.max(0, wanted - signed)} more to come`;
  const counted = facts([
    ['Release', `${kind} ${name}@${version}`],
    ['Signatures', `${signed} of ${wanted}, ${state}`],
  ]);
  return dryRun ? `${toSignText(release)}\n\n${counted}` : counted;
}

const blobs: Record<ToSign['artifacts'][number]['blob'], string> = {
  right: 'the platform has these very bytes',
  wrong: yellow('the platform’s bytes are others'),
  missing: yellow('the platform has no such bytes: they were not looked at'),
};

/** What somebody has to have seen before signing it. */
export function toSignText(what: ToSign): string {
  const { kind, name, version, sequence, floor, artifacts, deviceTypes, issued, expires, signers } = what;
  const by = signers.map(
    ({ keyid, counts }) =>
      `${printable(keyid.slice(0, 8))}${counts ? '' : ' (not checked: no key of the trust root)'}`,
  );
  return facts([
    ['To sign', `${kind} ${name}@${version}`],
    ['Sequence', `${sequence}, floor ${floor}`],
    ...artifacts.flatMap(({ name: file, digest, bytes, blob }): [string, string][] => [
      ['File', `${printable(file)}, ${size(bytes)} (${bytes} bytes)`],
      ['Digest', digest],
      ['Content', blobs[blob]],
    ]),
    ['Device types', printable(deviceTypes.join(', '))],
    ['Issued', `${minute(issued)} UTC`],
    ['Expires', expires === null ? 'never' : `${minute(expires)} UTC`],
    ['Signed by', by.join(', ')],
  ]);
}
