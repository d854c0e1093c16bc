import type { AuditEntry, ModelSummary, ModelVersion } from '../../api/api.js';
import type { ConfigVersion, FirmwareVersion } from '../../api/contract/releases.js';
import type { GuideProvisioned } from '../../api/guide/provision.js';
import type { ShownModel } from '../../api/show.js';
import type { SignatureResult } from '../../api/signatures.js';
import type { ToSign } from '../../api/to-sign.js';
import { percent, plural, readable, size } from '../../core/figures.js';
import { printable } from '../../core/text.js';
import type { GuidePushed } from '../../model/publish/guide.js';
import type { OciPushed } from '../../model/publish/oci.js';
import type { PushResult } from '../../model/publish/push.js';
import type { VerifyResult } from '../../model/publish/verify.js';
import type { Why } from '../../model/publish/why.js';
import type { TrustChange, TrustStatus } from '../../provision/trust.js';
import { bold, day, dim, facts, minute, moment, next, table, yellow } from './text.js';

type Figures = NonNullable<ModelVersion['metrics']>['int8'];

/** The most important metric of a model. Macro-F1 is not a share, so it is a plain number. */
function mainFigure(figures: Figures): string {
  const { macroF1, accuracy, mae, auc } = figures;
  if (typeof macroF1 === 'number') return `macro-F1 ${macroF1.toFixed(3)}`;
  if (typeof mae === 'number') return `mean error ${Number(mae.toPrecision(3))}`;
  if (typeof auc === 'number') return `AUC ${auc.toFixed(3)}`;
  return typeof accuracy === 'number' ? percent(accuracy) : `over ${plural(figures.windows, 'window')}`;
}

/** One version of a model: its metrics, its lineage, and its results on devices. */
export function modelText(card: ShownModel): string {
  const { live } = card;
  const rows: [string, string | number][] = [
    ['digest', card.digest],
    ['signed', card.sequence === 0 ? 'no' : signedText(card.sequence)],
    ['bundle', `${size(card.bytes)}: the model, its signal processing and its test vectors`],
    ['stage', card.stage],
    ['arena', card.arenaBytes === null ? 'unknown' : size(card.arenaBytes)],
    ['output', answerText(card)],
    ['held-out', figuresText(card)],
    ['dataset', datasetText(card)],
    [
      'live',
      live.windows === 0
        ? `no labeled windows yet, ${live.unlabelled} unlabeled`
        : `macro-F1 ${live.macroF1.toFixed(3)} over ${plural(live.windows, 'window')}, p99 ${readable(live.latencyMs.p99)} ms`,
    ],
    ['pushed', `${minute(card.pushed)} UTC`],
  ];
  return `${bold(`${card.name}@${card.version}`)}\n${facts(rows)}\n\n${historyTable(card.history)}`;
}

/** The models of a platform, each with its newest version. */
export function modelsTable(models: readonly ModelSummary[]): string {
  const rows = models.map(({ name, versions, latest, production }) => [
    name,
    versions,
    latest.version,
    latest.stage,
    production,
    figureText(latest),
    size(latest.bytes),
    minute(latest.pushed),
  ]);
  const head = ['model', 'versions', 'latest', 'stage', 'in production', 'metric', 'size', 'pushed (UTC)'];
  return table(head, rows, 'No models yet.');
}

/** One metric of the quantized model. */
function figureText({ metrics }: ModelVersion): string {
  return metrics ? mainFigure(metrics.int8) : 'not evaluated';
}

/** Metrics of the float model, of the quantized one, and after smoothing. */
function figuresText({ metrics, mode }: ModelVersion): string {
  if (!metrics) return 'not evaluated';
  const { float, int8, voted } = metrics;
  const parts = [`float ${mainFigure(float)}`, `${mode} ${mainFigure(int8)}`];
  if (voted) parts.push(`smoothed ${mainFigure(voted)}`);
  return parts.join(', ');
}

/** Describes what the model predicts. */
function answerText({ answer, classes, mode }: ModelVersion): string {
  if (!answer) return `unknown (only a ${mode} model)`;
  if (answer.kind === 'value') return `values: ${Array.isArray(answer.names) ? answer.names.join(', ') : ''}`;
  const { threshold } = answer;
  if (answer.kind === 'objects')
    return `objects: ${classes.join(', ')}; a cell counts at a share of ${threshold} or more`;
  const names = `${answer.kind}: ${classes.join(', ')}`;
  if (typeof threshold !== 'number') return names;
  const where = answer.kind === 'reconstruction' ? 'above an error of' : 'at a probability of';
  return `${names}; ${classes[1]} ${where} ${Number(threshold.toPrecision(4))}`;
}

function datasetText({ lineage }: ModelVersion): string {
  if (!lineage) return 'unknown';
  const { name, recordings, samples, digest } = lineage.dataset;
  const count = recordings > 0 ? plural(recordings, 'recording') : plural(samples, 'row');
  return `${name}: ${count}, ${digest}`;
}

/** One version of a configuration, with its effect on a device. */
export function configFacts(card: ConfigVersion): string {
  const { config, digest, bytes, deviceTypes, sequence, pushed } = card;
  const { sampleHz, telemetry, report, mqtt, rule } = config;
  const safe = rule.safeOn ? 'on' : 'off';
  return facts([
    ['samples', sampleHz === undefined ? 'unchanged from the sensor' : `${sampleHz} Hz`],
    ['telemetry', telemetry.publish ? `a message every ${telemetry.intervalMs} ms` : 'none'],
    ['report', report.intervalMs === 0 ? 'on changes' : `on changes, and every ${report.intervalMs} ms`],
    ['keep-alive', `${mqtt.keepAliveS} s`],
    [
      'actuator',
      `on above ${rule.onAbove} for at least ${rule.minOnMs} ms, off below ${rule.offBelow} for at least ${rule.minOffMs} ms; ${safe} after ${rule.lossMs} ms without a prediction`,
    ],
    ['for', deviceTypes.join(', ')],
    ['document', `${size(bytes)}, ${digest}`],
    ['signed', signedText(sequence)],
    ['pushed', `${minute(pushed)} UTC`],
  ]);
}

/** A table of the versions of configurations. */
export function configTable(rows: readonly ConfigVersion[], empty: string): string {
  return table(
    ['name', 'version', 'samples', 'report', 'for', 'pushed (UTC)'],
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
  swu: 'an SWUpdate bundle',
  raucb: 'a RAUC bundle',
  mcuboot: 'an MCUboot image',
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
  secureVersion,
}: FirmwareVersion): string {
  return facts([
    ['image', `${size(bytes)}, ${digest}`],
    ['chip', chip ?? (bundle ? `none: ${bundleNames[bundle]}` : 'none: a Linux program')],
    ['for', deviceTypes.join(', ')],
    [
      'program',
      app ? `${app.project} ${app.version}, built ${app.built} with ESP-IDF ${app.idf}` : 'unknown',
    ],
    ...(secureVersion ? ([['secure version', String(secureVersion)]] as [string, string][]) : []),
    ['signed', signedText(sequence)],
    ['pushed', `${minute(pushed)} UTC`],
  ]);
}

/** A table of the versions of firmware. */
export function firmwareTable(rows: readonly FirmwareVersion[], empty: string): string {
  return table(
    ['name', 'version', 'chip', 'for', 'program', 'size', 'pushed (UTC)'],
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
  { name, version, bytes, digest, sameAs, sequence, runs }: PushResult,
  url: string,
  limits: 'set' | 'none' = 'set',
): string {
  const same = sameAs === null ? '' : `, identical to ${name}@${sameAs} and stored once`;
  return facts([
    ['Pushed', `${name}@${version} to ${url}`],
    ['Bundle', `${size(bytes)}, ${digest}${same}`],
    [
      'Signed',
      `with your key, as number ${sequence}. Devices reject lower numbers. To deploy an older version, aiot signs it again.`,
    ],
    ...(runs && runs.added > 0
      ? [['Runs', `${plural(runs.added, 'training run')} added to the dashboard`] as [string, string]]
      : []),
    ...(limits === 'none'
      ? [
          ['Limits', 'none: model.accept in aiot.yaml sets none, so a model of any accuracy is pushed'] as [
            string,
            string,
          ],
        ]
      : []),
  ]);
}

/** Suggested next commands. `at`: flags to repeat. */
export function afterPush({ name, version, kind }: PushResult, deviceTypes: string[], at: string): string[] {
  const pushed = `${name}@${version}`;
  const lineage = `aiot model lineage ${pushed}${at}`;
  if (kind !== 'model') return [lineage];
  const isForBoards = deviceTypes.some((type) => type.startsWith('esp32'));
  return [
    `aiot model deploy ${pushed} --selector SELECTOR${at}`,
    ...(isForBoards ? [`aiot flash --model ${pushed} --port PORT${at}`] : []),
    lineage,
  ];
}

/** A release's sequence number, which is not the number of its version. */
function signedText(sequence: number): string {
  return `yes, sequence ${sequence}`;
}

export function ociPushedText(pushed: OciPushed): string {
  const { name, version, reference, bytes, digest, manifest, unchanged } = pushed;
  return facts([
    ['Pushed', `${name}@${version} to ${reference}${unchanged ? ' (bundle already present)' : ''}`],
    ['Bundle', `${size(bytes)}, ${digest}`],
    ['Artifact', manifest],
  ]);
}

/** Result of registering a board with an installation of the guide's services. */
export function guideProvisionedText({ chipId, url, confirmed }: GuideProvisioned): string {
  const begins = confirmed
    ? 'its firmware can activate itself'
    : yellow('its firmware is not confirmed: was it revoked?');
  return `${bold(chipId)} is registered at ${new URL(url).origin}, and ${begins}.`;
}

/** Result of storing a model in an installation of the guide's services, and how its boards are notified. */
export function guidePushedText({ name, url, bytes, digest, whole, message }: GuidePushed): string {
  const lines = facts([
    ['Uploaded', `${name} to ${new URL(url).origin}`],
    ['Network', `${size(bytes)}, ${digest}`],
    ...(whole
      ? []
      : [
          ['', yellow("longer than the 11,148 bytes that the guide's firmware can read")] as [string, string],
        ]),
  ]);
  return `${lines}\n${next(`aiot stream publish kafka://HOST:PORT/control-message '${message}'`)}`;
}

/** The lineage as a tree: each line is an input of the one above it. */
export function whyText(why: Why): string {
  const { bundle, network, float, training, evaluation, dataset, devices, recordings } = why;
  const keys = bundle.keys.map((key) => key.slice(0, 12)).join(', ');
  const lines = [
    `bundle  ${bundle.digest}, ${size(bundle.bytes)}, in ${bundle.stage}, pushed ${minute(bundle.pushed)} UTC, signed by ${keys}`,
    `${network.mode} model  ${network.digest}${evaluation ? `, evaluated with smoothing ${evaluation.vote}` : ''}`,
    `float model  ${float?.digest ?? unknown}`,
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
      `${inner}└─ ${table ? `${plural(dataset.samples, 'row')} of a table, recorded by ${unknown}` : `recordings ${unknown}`}`,
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

/** Verified properties, as facts. */
export function verifiedFacts(result: VerifyResult): [string, string][] {
  const { golden, expires } = result;
  const until =
    expires === null ? 'does not expire' : `${result.expired ? 'expired' : 'valid until'} ${moment(expires)}`;
  return [
    ['digest', result.digest],
    [
      'signed',
      `${moment(result.issued)} by ${result.keys.map((key) => key.slice(0, 12)).join(', ')}, ${until}`,
    ],
    ['files', result.files.map(({ name, bytes }) => `${name} ${dim(size(bytes))}`).join(', ')],
    ...(result.unsigned.length === 0
      ? []
      : [
          [
            'not signed',
            `${result.unsigned.join(', ')}: in the same folder, but not covered by the signature`,
          ] as [string, string],
        ]),
    [
      'test vectors',
      golden
        ? `${golden.passed} of ${golden.vectors} give the same results here`
        : 'none: the bundle contains only a model',
    ],
  ];
}

/** History of a version, newest first. */
function historyTable(history: AuditEntry[]): string {
  const rows = history.map(({ at, who, action, detail }) => [
    minute(at),
    action,
    [detail.to ? `to ${detail.to}` : '', detail.reason ?? detail.selector ?? '']
      .filter((text) => text !== '')
      .join(': '),
    who,
  ]);
  return table(['time (UTC)', 'change', 'details', 'user'], rows, 'No history.');
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
    ['Root', version === null ? 'none' : apart ? String(version) : `${version}, with one key for all roles`],
    ['Expires', expires === null ? 'never' : day(expires)],
    ...(apart ? [['Signed by', short(signedBy)] as [string, string]] : []),
    [
      'Timestamp',
      timestamp
        ? `${timestamp.version}, until ${minute(timestamp.expires)} UTC`
        : 'none: freeze attacks go unnoticed',
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
  const state = published ? 'published' : `not published: ${Math.max(0, wanted - signed)} more needed`;
  const counted = facts([
    ['Release', `${kind} ${name}@${version}`],
    ['Signatures', `${signed} of ${wanted}, ${state}`],
  ]);
  return dryRun ? `${toSignText(release)}\n\n${counted}` : counted;
}

const blobs: Record<ToSign['artifacts'][number]['blob'], string> = {
  right: "the platform's content is identical",
  wrong: yellow("the platform's content is different"),
  missing: yellow('the platform does not have the content, so it was not checked'),
};

/** The properties of a release to review before signing it. */
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
