import type { z } from 'zod';
import type { Status } from '../../api/api.js';
import type { Objective } from '../../api/condition.js';
import type { LoginLink, LoginSession, ProviderLogin, Token, User } from '../../api/contract/access.js';
import type { ProjectAlarmsApplied } from '../../api/contract/alarm-targets.js';
import type { Attention, DeviceHealth } from '../../api/contract/attention.js';
import type { CommandsApplied } from '../../api/contract/commands.js';
import type { Job } from '../../api/contract/jobs.js';
import type { Webhook, WebhookTest } from '../../api/contract/webhooks.js';
import { type Damage, lostText } from '../../api/damage.js';
import type { PlatformEvent } from '../../api/events/api.js';
import type { AuditExported, AuditVerified, SealedEntry } from '../../api/events/audit.js';
import type { loginResultSchema } from '../../api/login.js';
import { shownData } from '../../api/rollouts/words.js';
import type { SavedToken } from '../../api/token-file.js';
import { elapsed, percent, plural, size, thousands } from '../../core/figures.js';
import { shellWord } from '../../core/text.js';
import type { Restored } from '../../platform/backup/restore.js';
import type { BrokerFiles } from '../../platform/broker/external-files.js';
import type { Restart } from '../../platform/running.js';
import type { DownResult } from '../../platform/up/detached.js';
import type { InstalledPlatform } from '../../platform/up/install.js';
import type { LogLine } from '../../platform/up/logs.js';
import type { UpResult } from '../../platform/up/options.js';
import type { Verified } from '../../platform/verify/verify.js';
import type { ProgressState } from '../live/progress.js';
import {
  ago,
  bold,
  cut,
  cyan,
  day,
  dim,
  facts,
  green,
  lineWidth,
  minute,
  moment,
  oneLine,
  red,
  table,
  wrappedLines,
  yellow,
} from './text.js';

/**
 * Commands that create a context for a running platform. A restart alone does not create another token, so `--new-token` is needed.
 * @param at flag that both commands repeat
 * @param up flags that only the second command repeats
 */
export function platformNext(at: string, up: string, restart: Restart): string {
  return `aiot down${at} && aiot up${at}${words(restart.words)}${up} --new-token`;
}

/** Asks for flags that a suggested command cannot show. Those set in this environment need no repetition. */
export function secretText({ secret }: Restart, environment: NodeJS.ProcessEnv = process.env): string {
  const left = secret.filter((flag) => environment[variableOf(flag)] === undefined);
  if (left.length === 0) return '';
  const [are, contain, each] = left.length === 1 ? ['is', 'it', 'it'] : ['are', 'they', 'them'];
  return `\n${left.join(' and ')} ${are} not shown, because ${contain} may contain secrets. Add ${each} to aiot up.`;
}

/** The environment variable of a flag: AIOT_BROKER for --broker. */
function variableOf(flag: string): string {
  return `AIOT_${flag.slice(2).replaceAll('-', '_').toUpperCase()}`;
}

function words(all: readonly string[]): string {
  return all.map((word) => ` ${shellWord(word)}`).join('');
}

type Fact = [string, string | number];

/** The platform's listening addresses, one line per kind of client. */
function listeners({ http, mqtts, mqtt, boards, wss, ddi, guide }: UpResult['urls']): Fact[] {
  return [
    ['API', http],
    ['MQTT', mqtts],
    ...(mqtt === undefined ? [] : [['plain', `${mqtt}  ${dim('(no TLS)')}`] as Fact]),
    ...(wss === undefined ? [] : [['WebSocket', wss] as Fact]),
    ...(ddi === undefined ? [] : [['update clients', `${ddi}  ${dim('(no TLS)')}`] as Fact]),
    ...(boards === undefined ? [] : [['boards', `${boards}  ${dim('(any password)')}`] as Fact]),
    ...(guide === undefined
      ? []
      : ([
          ['guide', `${guide.mqtt}  ${dim('(devices, unauthenticated)')}`],
          ['', `${guide.devices}  ${dim('(device registry)')}`],
          ['', `${guide.models}  ${dim('(model registry)')}`],
          ['', `${guide.datasets}  ${dim('(training datastore)')}`],
        ] as Fact[])),
  ];
}

const databaseNames = { sqlite: 'SQLite', postgres: 'PostgreSQL' };

/** Status of a platform: its health first, and items that need attention last. */
export function statusText(status: Status): string {
  const { ready, urls, engines, counts, disk, lag, warnings, started, version } = status;
  const { database, blobs, events, broker, ingest } = engines;
  const behind = Object.entries(lag).map(([name, count]) => `${name} by ${plural(count, 'event')}`);
  const lines: Fact[] = [
    ...listeners(urls),
    ['version', version],
    ['started', `${minute(started)} UTC, ${ago(started, Date.now())}`],
    ['storage', `${databaseNames[database]}, blobs in ${blobs === 's3' ? 'S3' : 'a folder'}`],
    ...(events === null ? [] : [['events to', relayText(events, status.relay)] as Fact]),
    ...(broker === 'external' ? [['broker', brokerText(ingest)] as Fact] : []),
    ...(ingest === 'kafka' ? [['messages', 'from Kafka, shared by all replicas'] as Fact] : []),
    ...(status.replicas.length > 1 ? [['replicas', replicasText(status.replicas)] as Fact] : []),
    ['devices', `${counts.devices}, ${counts.online} online`],
    ['models', `${counts.models}, ${plural(counts.modelVersions, 'version')}`],
    ['datasets', counts.datasets],
    ['rollouts', counts.rollouts],
    ...(disk ? [['disk', `${size(disk.freeBytes)} free of ${size(disk.totalBytes)}`] as Fact] : []),
    ...status.objectives.map(
      ({ name, ...objective }): Fact => [objectiveNames[name], objectiveText(objective)],
    ),
    ['damage check', scrubText(status.scrub)],
    ['memory', size(status.memoryBytes)],
    ['certificate', `server certificate valid until ${day(status.certificates.server)}`],
    ...(behind.length > 0 ? [['behind', behind.join(', ')] as Fact] : []),
  ];
  const told = warnings
    .map(({ about, message }) => `\n${yellow(`! ${about}:`)} ${oneLine(message)}`)
    .join('');
  const head = ready ? bold('The platform is ready.') : red('The platform is not ready.');
  return `${head}\n${facts(lines)}${told}`;
}

const objectiveNames = {
  ingest: 'stored in time',
  presence: 'devices online',
  updates: 'updates',
} as const satisfies Record<Objective['name'], string>;

function objectiveText({ share, good, total, target, windowMs, met }: Omit<Objective, 'name'>): string {
  const period = windowMs < 86_400_000 ? 'last hour' : 'last 7 days';
  if (share === null) return `none in the ${period} (target ${percent(target, 0)})`;
  const text = `${percent(share, 1)} in the ${period}, ${thousands(good)} of ${thousands(total)} (target ${percent(target, 0)})`;
  return met ? text : yellow(text);
}

function replicasText(replicas: Status['replicas']): string {
  return replicas
    .map(({ url, leads }) => (leads.length === 0 ? url : `${url} (leads ${leads.join(', ')})`))
    .join(', ');
}

function brokerText(ingest: Status['engines']['ingest']): string {
  return ingest === 'jetstream' ? 'external, all replicas receive messages' : 'external';
}

/** The devices that need attention: each with its state, causes, their age, and the next steps; then failing alarms and waiting devices. */
export function attentionText(attention: Attention, now = Date.now()): string {
  const { counts, quiet, alarms, waiting, devices, next: more } = attention;
  const numbers = Object.entries(counts)
    .filter(([, count]) => count > 0)
    .map(([state, count]) => `${count} ${state}`)
    .join(', ');
  const hidden = quiet === 0 ? '' : `; ${quiet} acknowledged or snoozed (--all)`;
  const count = plural(devices.length, 'device');
  const head =
    devices.length === 0
      ? green('No device needs attention.')
      : more === null
        ? bold(`${count} need${devices.length === 1 ? 's' : ''} attention.`)
        : bold(`Showing the first ${count}; use --limit to see more.`);
  const failing = alarms.map(({ alarm, message, since, next: todo }) =>
    [
      `\n\n${red('failing')}  ${bold(alarm)} ${dim('alarm')}`,
      wrappedLines(`  ${oneLine(message)} ${dim(`(since ${minute(since)} UTC, ${ago(since, now)})`)}`),
      wrappedLines(`  → ${oneLine(todo)}`),
    ].join('\n'),
  );
  const asking = waiting.devices.map(({ name, type, suspicious, message, since, next: todo }) =>
    [
      `\n\n${suspicious ? red('waiting') : yellow('waiting')}  ${bold(name)} ${dim(type)}`,
      wrappedLines(`  ${oneLine(message)} ${dim(`(since ${minute(since)} UTC, ${ago(since, now)})`)}`),
      wrappedLines(`  → ${oneLine(todo)}`),
    ].join('\n'),
  );
  const unlisted = waiting.count - waiting.devices.length;
  const rest =
    unlisted > 0 ? [`\n\n${plural(unlisted, 'more device')} waiting: aiot device waiting list`] : [];
  const unwell = devices.map((device) => `\n\n${deviceHealthText(device, now)}`);
  const list = [...unwell, ...failing, ...asking, ...rest].join('');
  return `${head}${dim(numbers === '' ? '' : `  ${numbers}${hidden}`)}${list}`;
}

/** One device: its state, its causes with their age and the next steps, and acknowledgments by users. */
export function deviceHealthText(
  { name, type, state, causes, acknowledged, snoozed }: DeviceHealth,
  now = Date.now(),
): string {
  const colors = { failing: red, silent: red, degraded: yellow, ok: green, unknown: dim };
  const lines = causes.flatMap(({ code, message, since, next: todo }) => [
    wrappedLines(`  ${oneLine(message)} ${dim(`(${code}, since ${minute(since)} UTC, ${ago(since, now)})`)}`),
    wrappedLines(`  → ${oneLine(todo)}`),
  ]);
  const noted = (text: string | null) => (text === null ? '' : `: ${oneLine(text)}`);
  if (acknowledged)
    lines.push(
      dim(
        `  acknowledged by ${oneLine(acknowledged.who)}, ${ago(acknowledged.at, now)}${noted(acknowledged.note)}`,
      ),
    );
  if (snoozed)
    lines.push(
      dim(`  snoozed until ${minute(snoozed.until)} UTC by ${oneLine(snoozed.who)}${noted(snoozed.note)}`),
    );
  return [`${colors[state](state)}  ${bold(name)} ${dim(oneLine(type))}`, ...lines].join('\n');
}

export function afterAttention({ devices, waiting }: Attention): string[] {
  const [first] = devices;
  const unwell = first ? [`aiot device show ${first.name}`, `aiot device ack ${first.name} --note TEXT`] : [];
  const steps = [...unwell, ...(waiting.count > 0 ? ['aiot device waiting list'] : [])];
  return steps.length > 0 ? steps : ['aiot status'];
}

/** One line per damaged part, with the data that is lost. */
export function damageTable(damage: readonly Damage[]): string {
  const rows = damage.map(({ id, place, problem, lost }) => [
    id,
    place,
    problem,
    lost === undefined ? null : lostText(lost),
  ]);
  return table(['id', 'place', 'problem', 'lost'], rows, 'No unacknowledged damage.');
}

function scrubText(scrub: Status['scrub']): string {
  if (scrub === null)
    return dim('none yet: all stored files are read and compared with their digests once a day');
  const { ended, blobs, bytes, damaged } = scrub;
  const found = damaged === 0 ? 'no damage' : red(`${damaged} damaged`);
  return `${minute(ended)} UTC: ${plural(blobs, 'stored file')}, ${size(bytes)}, ${found}`;
}

function relayText(engine: string, relay: Status['relay']): string {
  if (!relay || relay.state === 'waiting') return engine;
  const left = relay.events.behind > 0 ? `, ${plural(relay.events.behind, 'event')} behind` : '';
  if (relay.state === 'connected') return `${engine} at ${relay.endpoint}${left}`;
  return `${engine} at ${relay.endpoint}: ${red(`unreachable (${relay.error})`)}${left}`;
}

/** The link, and its validity period. */
export function dashboardText({ url, expires }: LoginLink): string {
  const minutes = Math.round((expires - Date.now()) / 60_000);
  return `${url}\n${dim(`works once, for ${plural(minutes, 'minute')}`)}`;
}

/** The page to open for a login, and the code to enter there. */
export function loginPageText({ url, code }: Pick<ProviderLogin, 'url' | 'code'>): string {
  return code === null ? `Log in at ${url}` : `Open ${url}\nand enter the code ${bold(code)}`;
}

export function loginText({ context, user, role, ends }: z.output<typeof loginResultSchema>): string {
  return `Logged in to ${bold(context)} as ${user} (${role}), until ${day(ends)} at the latest.`;
}

/** A platform that was started: its addresses, its process, its project's routes, and the context. */
export function platformText({
  pid,
  urls,
  ca,
  token,
  context,
  replaced,
  project,
  dashboard,
}: UpResult): string {
  const lines: [string, string | number][] = [...listeners(urls), ['CA', ca], ['pid', pid]];
  lines.unshift(
    ['dashboard', dashboard ?? urls.http],
    [
      '',
      dim(dashboard ? 'logs in once; for a new link, run aiot dashboard' : 'to log in, run aiot dashboard'),
    ],
  );
  if (project) lines.push(['project', `${project.name}  ${dim(shellWord(project.dir))}`]);
  for (const { name, from, to, state } of project?.routes ?? []) {
    lines.push([
      name,
      `${from.join(', ')} → ${to.join(', ')}${state === 'running' ? '' : `  ${bold(state)}`}`,
    ]);
  }
  const alarms = project?.alarms ? appliedNames(project.alarms) : '';
  if (alarms !== '') lines.push(['alarms', alarms]);
  const targets = project?.alarms ? appliedNames(project.alarms.targets) : '';
  if (targets !== '') lines.push(['alarm targets', targets]);
  const commands = project?.commands ? appliedNames(project.commands) : '';
  if (commands !== '') lines.push(['commands', commands]);
  const settings = project?.settings ? appliedNames(project.settings) : '';
  if (settings !== '') lines.push(['device settings', settings]);
  for (const [name, applied] of [
    ['Home Assistant', project?.homeAssistant ?? null],
    ['Sparkplug', project?.sparkplug ?? null],
  ] as const) {
    if (applied === null || (applied.broker === null && applied.change !== 'removed')) continue;
    lines.push([
      name,
      applied.broker === null ? 'removed' : applied.broker === 'own' ? 'this broker' : applied.broker,
    ]);
  }
  lines.push(['context', context ?? 'none']);
  if (token !== undefined) lines.push(['token', token], ['', dim('shown once; stored in the context')]);
  const switched = replaced === undefined ? '' : `\nSwitched to the context ${context} (was ${replaced})`;
  return `${bold('The platform is running.')}\n${facts(lines)}${switched}`;
}

function appliedNames({
  created,
  changed,
  removed,
  unchanged,
}: ProjectAlarmsApplied['targets'] | CommandsApplied): string {
  const noted = (names: string[], note: string) => names.map((name) => `${name} ${dim(`(${note})`)}`);
  const all = [...noted(created, 'new'), ...noted(changed, 'changed'), ...noted(removed, 'removed')];
  return [...all, ...unchanged].join(', ');
}

/** The unit, its path, and notes to read before starting it. */
export function installedPlatformText({
  unit,
  file,
  written,
  secrets,
  data,
  config,
}: InstalledPlatform): string {
  return [
    unit,
    written ? green(`wrote ${file}`) : dim(`would write ${file}`),
    dim(
      `The platform's data is in ${data}. The first start writes the operator's token and key to ${config}.`,
    ),
    dim(`Put secrets into ${secrets} as NAME=VALUE lines: sudo install -D -m 600 /dev/null ${secrets}`),
  ].join('\n');
}

/** One line of the platform's log. */
export function logText({ time, level, message, detail }: LogLine): string {
  const marks = { debug: dim, info: (text: string) => text, warning: yellow, error: red };
  const more = Object.entries(detail)
    .map(([name, value]) => ` ${dim(`${oneLine(name)}=${JSON.stringify(value)}`)}`)
    .join('');
  return `${time === null ? '' : `${dim(moment(time))} `}${marks[level](level)} ${oneLine(message)}${more}`;
}

/** The checked parts of a data folder, and each finding with its outcome. */
export function damageText({ data, checked, findings, unrepaired, from, running }: Verified): string {
  const head =
    findings.length === 0
      ? `${bold(data)} is intact.`
      : unrepaired === 0
        ? `Repaired ${bold(data)}: ${plural(findings.length, 'finding')}.`
        : red(`${data} is damaged: ${plural(unrepaired, 'finding')} to repair, of ${findings.length}.`);
  const looked = checked.map(({ part, count, bytes }): [string, string] => {
    const told = count === null ? 'not checked: the database cannot be read' : String(count);
    return [part, bytes === null ? told : `${told}, ${size(bytes)}`];
  });
  const isLost = findings.some(({ lost }) => lost !== undefined);
  const rows = findings.map(({ part, place, problem, lost, repaired }) => [
    part,
    place,
    problem,
    ...(isLost ? [lost === undefined ? null : lostText(lost)] : []),
    repaired === null ? red('no') : green(repaired),
  ]);
  const how: [string, string][] = [
    ...(running ? [['platform', 'running; checked without stopping it'] as [string, string]] : []),
    ...(from === null ? [] : [['backup', from] as [string, string]]),
  ];
  const list =
    rows.length === 0
      ? ''
      : `\n\n${table(['part', 'place', 'problem', ...(isLost ? ['lost'] : []), 'repaired'], rows)}`;
  return `${head}\n${facts([...looked, ...how])}${list}`;
}

/** Contents of a backup. */
export function backupText({ aiot, created, devices, models, blobs, journal, damaged }: Restored): string {
  const { count, bytes, missing } = blobs;
  const gone =
    missing.length === 0
      ? ''
      : `; ${plural(missing.length, 'blob')} of versions missing when it was made: ${missing.join(', ')}`;
  return facts([
    ['made', `${moment(created)} by aiot ${aiot}`],
    ['devices', String(devices)],
    ['models', plural(models, 'version')],
    ['blobs', `${count}, ${size(bytes)}${gone}`],
    ['journal', `${plural(journal.segments, 'segment')}, ${size(journal.bytes)}`],
    ...damaged.map((what): [string, string] => ['damaged', what]),
  ]);
}

/** Files exported for another broker. */
export function brokerFilesText({ dir, files, names }: BrokerFiles): string {
  return `Wrote ${files.join(', ')} to ${bold(dir)}, for a broker at ${names.join(', ')}`;
}

export function usersTable(users: readonly User[]): string {
  const rows = users.map(({ name, role, selector, created, disabled, tokens }) => [
    name,
    role,
    selector ?? 'all',
    disabled === null ? 'enabled' : `disabled since ${day(disabled)}`,
    String(tokens),
    day(created),
  ]);
  return table(
    ['name', 'role', 'devices', 'state', 'tokens', 'added'],
    rows,
    "No users yet; only the operator's token exists.",
  );
}

export function tokensTable(tokens: readonly Token[]): string {
  const rows = tokens.map(({ id, name, owner, role, scopes, selector, state, expires, lastUsed }) => [
    id,
    owner === null ? name : `${owner}: ${name}`,
    role,
    scopes === null ? 'all' : scopes.join(' '),
    selector ?? 'all',
    state === 'valid' ? day(expires) : state,
    lastUsed === null ? 'never' : day(lastUsed),
  ]);
  return table(['id', 'for', 'role', 'scopes', 'devices', 'until', 'last used'], rows, 'No tokens.');
}

/** Logins, with a mark on the one that made the request. */
export function loginSessionsTable(sessions: readonly LoginSession[]): string {
  const rows = sessions.map(({ id, kind, owner, role, selector, address, created, lastUsed, current }) => [
    current ? `${id} *` : id,
    kind === 'cli' ? 'command line' : 'dashboard',
    owner ?? 'operator token',
    role,
    selector ?? 'all',
    address ?? 'unknown',
    day(created),
    lastUsed === null ? 'never' : day(lastUsed),
  ]);
  const titles = ['id', 'login', 'user', 'role', 'devices', 'from', 'since', 'last used'];
  return table(titles, rows, 'No logins.');
}

/** A login in words, such as `ses_0123456789ab (dashboard, alice)`. */
export function loginSessionText({ id, kind, owner, token }: LoginSession): string {
  return `${id} (${kind === 'cli' ? 'command line' : 'dashboard'}, ${owner ?? token})`;
}

/** The limit of rights to some devices, as the end of a sentence; empty if there is none. */
export function onDevices({ selector }: Pick<User, 'selector'>): string {
  return selector === null ? '' : `, only for the devices that match ${selector}`;
}

/** A new token, which is shown only once. */
export function madeTokenText(made: SavedToken): string {
  const { token, file, unsaved, role, scopes, selector, expires } = made;
  const what = scopes === null ? `full ${role} permissions` : `${role}, limited to ${scopes.join(', ')}`;
  const may = `${what}${onDevices({ selector })}`;
  const rights = `Permissions: ${oneLine(may)}. Valid until ${minute(expires)} UTC.`;
  if (token === undefined) return `Saved the token to ${oneLine(file ?? '')}. ${rights}`;
  const lost = unsaved === undefined ? '' : `${red(`The token was not saved: ${oneLine(unsaved)}`)}\n\n`;
  return `${lost}${oneLine(token)}\n\nThe token is shown only once: store it now. ${rights}`;
}

/** An event in one line: time, type, subject, user and data. */
export function eventText({ id, at, type, subject, who, data }: PlatformEvent): string {
  const told = Object.entries(shownData(data))
    .filter(([, value]) => value !== null && value !== undefined)
    .map(([name, value]) => `${name}=${shown(value)}`);
  const number = String(id).padStart(6);
  const when = moment(at);
  const kind = oneLine(type).padEnd(17);
  const of = oneLine(subject);
  const by = oneLine(`by ${who}${told.length > 0 ? `  ${told.join(' ')}` : ''}`);
  // The subject is shown in full; the user and the data are truncated to the remaining width.
  const room = lineWidth() - [number, when, kind, of].join('  ').length - 2;
  const rest = room < 4 ? '' : `  ${dim(cut(by, room))}`;
  return `${dim(number)}  ${dim(when)}  ${cyan(kind)}  ${bold(of)}${rest}`;
}

/** Entries of the audit log, oldest first. */
export function auditTable(entries: readonly SealedEntry[]): string {
  const rows = entries.map(({ seq, at, type, subject, who, data }) => [
    String(seq),
    minute(at),
    oneLine(who),
    type,
    oneLine(subject),
    detailOf(data),
  ]);
  return table(['entry', 'time (UTC)', 'user', 'change', 'subject', 'details'], rows, 'No entries.');
}

function detailOf(data: Record<string, unknown>): string {
  const known = Object.entries(shownData(data)).filter(
    ([, value]) => value !== null && value !== undefined && value !== '',
  );
  return oneLine(known.map(([name, value]) => `${name}=${shown(value)}`).join(' '));
}

const entriesText = (count: number) => (count === 1 ? '1 entry' : `${thousands(count)} entries`);

export function auditExportedText({ file, entries, head }: AuditExported): string {
  const upTo = entries === 0 ? '' : `\n${facts([['head', `${head.seq}:${head.hash}`]])}`;
  return `${file}: ${entriesText(entries)}${upTo}`;
}

export function auditVerifiedText({ source, entries, first, from, to, head, since }: AuditVerified): string {
  if (entries === 0) return `${source}: the audit log is empty.`;
  const before =
    since === null
      ? 'nothing to compare with: this is the first verification'
      : `contains entry ${since.seq}, which was verified at ${minute(since.at)} UTC`;
  const range = first === 1 ? entriesText(entries) : `${entriesText(entries)}, from entry ${first}`;
  const lines: Fact[] = [
    ['entries', range],
    ['period', `${minute(from ?? 0)} to ${minute(to ?? 0)} UTC`],
    ['head', `${head.seq}:${head.hash}`],
    ['history', before],
  ];
  return `${green('The audit log is intact.')}\n${facts(lines)}`;
}

function shown(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  const short = Number.isFinite(lineWidth()) && text.length > 60 ? `${text.slice(0, 59)}…` : text;
  return /\s/.test(short) && typeof value === 'string' ? JSON.stringify(short) : short;
}

export function webhooksTable(webhooks: Webhook[]): string {
  const rows = webhooks.map((webhook) => {
    const { id, url, types, behind, error } = webhook;
    return [id, url, types.join(', '), webhookState(webhook), behind, error];
  });
  return table(['id', 'url', 'events', 'state', 'behind', 'last error'], rows, 'No webhooks yet.');
}

/** @param secret the new secret, which is shown only once */
export function webhookText(webhook: Webhook, secret?: string): string {
  const { id, url, types, created, behind, failures, failingSince, error, retryAt } = webhook;
  const lines: [string, string | number][] = [
    ['url', url],
    ['events', types.join(', ')],
    ['state', webhookState(webhook)],
    ['added', `${minute(created)} UTC`],
    ['behind', behind],
  ];
  if (secret !== undefined) lines.push(['secret', `${secret}  ${dim('(shown once)')}`]);
  if (failingSince !== null) lines.push(['failing', `since ${minute(failingSince)} UTC, ${failures} times`]);
  if (error !== null) lines.push(['last error', error]);
  if (retryAt !== null) lines.push(['next attempt', `${minute(retryAt)} UTC`]);
  return `${bold(id)}\n${facts(lines)}`;
}

export function webhookTestText({ id, delivered, status, ms, error }: WebhookTest): string {
  const told = delivered ? green(`responded with ${status}`) : red(error ?? 'did not arrive');
  return `${bold(id)}: ${told} ${dim(`after ${elapsed(ms)}`)}`;
}

function webhookState({ enabled, failures }: Webhook): string {
  if (!enabled) return red('failed');
  return failures > 0 ? red('failing') : green('sending');
}

export function jobsTable(jobs: Job[]): string {
  const rows = jobs.map((job) => [
    job.id,
    job.kind,
    jobState(job),
    progressOf(job),
    job.who,
    minute(job.created),
  ]);
  return table(['id', 'kind', 'state', 'progress', 'user', 'created (UTC)'], rows, 'No jobs yet.');
}

export function jobText(job: Job): string {
  const { id, kind, who, created, started, ended, request, result, error } = job;
  const lines: [string, string | number][] = [
    ['kind', kind],
    ['state', `${jobState(job)}${job.cancelled && ended === null ? dim('  (canceling)') : ''}`],
    ['by', who],
    ['created', `${minute(created)} UTC`],
  ];
  if (Object.keys(request).length > 0) lines.push(['request', JSON.stringify(request)]);
  const progress = progressOf(job);
  if (progress !== null) lines.push(['progress', progress]);
  if (started !== null && ended !== null) lines.push(['took', elapsed(ended - started)]);
  if (result !== null && result !== undefined) lines.push(['result', JSON.stringify(result)]);
  if (error !== null) lines.push(['error', `${error.code}: ${error.message}`]);
  return `${bold(id)}\n${facts(lines)}`;
}

/** A job's state as a stage for the progress display. */
export function jobNews({ kind, state, step, done, total }: Job): ProgressState {
  const text = step ?? `${kind} is ${state}`;
  return total === null ? { text } : { text, done, total };
}

function progressOf({ step, done, total }: Job): string | null {
  const counted = total === null ? (done > 0 ? String(done) : null) : `${done}/${total}`;
  const told = [step, counted].filter((part) => part !== null);
  return told.length > 0 ? told.join(' ') : null;
}

function jobState({ state }: Job): string {
  if (state === 'done') return green(state);
  if (state === 'failed') return red(state);
  return state === 'running' ? yellow(state) : state;
}

/** A stopped platform. If the current context belongs to that platform, also the reason why further commands will fail. */
export function downText(result: DownResult): string {
  const { data, pid, ownContext, foreignContext, context, otherContext } = result;
  const known = ownContext === null ? '' : `context ${ownContext}, `;
  const stopped = `Stopped the platform on ${data} (${known}pid ${pid}).`;
  if (foreignContext !== null)
    return `${stopped}\nThe current context ${foreignContext} belongs to another platform.`;
  if (context === null || otherContext === null) return stopped;
  return `${stopped}\nThe current context ${context} belongs to it. To use another platform, switch to another context, such as ${otherContext}.`;
}

/** Suggested next commands. `at`: flags to repeat. The platform's ports are repeated if they are not the defaults. */
export function afterDown(
  { urls, otherContext, restart }: Pick<DownResult, 'urls' | 'otherContext' | 'restart'>,
  at: string,
): string[] {
  const options = restart ?? { words: [], secret: [] };
  const port = (flag: string, url: string, usual: string) => {
    const used = new URL(url).port;
    return used === usual ? '' : ` --${flag} ${used}`;
  };
  // With an external broker, the URL is that broker's.
  const external = [...options.words, ...options.secret].includes('--broker');
  const mqtt = external ? '' : port('mqtt-port', urls.mqtts, '8883');
  const up = `aiot up${at}${port('http-port', urls.http, '8443')}${mqtt}${words(options.words)}`;
  return otherContext === null ? [up] : [up, `aiot context use ${otherContext}`];
}
