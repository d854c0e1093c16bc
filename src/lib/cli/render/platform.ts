import { plural, shellWord, size } from '../../core/index.js';
import type { UpResult } from '../../platform/index.js';
import { type Damage, type LoginLink, lostText, type Status } from '../../registry/index.js';
import { bold, dim, oneLine, red, yellow } from './style.js';
import { facts, table } from './text.js';
import { ago, day, minute } from './time.js';

/** How to get a context for a platform that no context knows: tokens are made at its start alone. */
export function platformNext(at: string, detach = false): string {
  return `aiot down${at} && aiot up${at} --new-token${detach ? ' --detach' : ''}`;
}

type Fact = [string, string | number];

/** Where it listens, each line one kind of client. */
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
          ['guide', `${guide.mqtt}  ${dim('(anybody: devices)')}`],
          ['', `${guide.devices}  ${dim('(device registry)')}`],
          ['', `${guide.models}  ${dim('(model registry)')}`],
          ['', `${guide.datasets}  ${dim('(training datastore)')}`],
        ] as Fact[])),
  ];
}

/** How a platform is: first whether it works, last what to look at. */
export function statusText(status: Status): string {
  const { ready, urls, engines, counts, disk, lag, warnings, started, version } = status;
  const { database, blobs, events, broker } = engines;
  const behind = Object.entries(lag).map(([name, count]) => `${name} by ${plural(count, 'event')}`);
  const lines: Fact[] = [
    ...listeners(urls),
    ['version', version],
    ['up since', `${minute(started)} UTC, ${ago(started, Date.now()).replace(/ ago$/, '')}`],
    ['keeps', `state in ${database}, blobs in ${blobs === 's3' ? 'S3' : 'a folder'}`],
    ...(events === null ? [] : [['events to', relayText(events, status.relay)] as Fact]),
    ...(broker === 'external' ? [['broker', 'external'] as Fact] : []),
    ['devices', `${counts.devices}, ${counts.online} online`],
    ['models', `${counts.models}, ${plural(counts.modelVersions, 'version')}`],
    ['datasets', counts.datasets],
    ['rollouts', counts.rollouts],
    ...(disk ? [['disk', `${size(disk.freeBytes)} free of ${size(disk.totalBytes)}`] as Fact] : []),
    ['scrubbed', scrubText(status.scrub)],
    ['memory', size(status.memoryBytes)],
    ['certificate', `of the server until ${day(status.certificates.server)}`],
    ...(behind.length > 0 ? [['behind', behind.join(', ')] as Fact] : []),
  ];
  const told = warnings
    .map(({ about, message }) => `\n${yellow(`! ${about}:`)} ${oneLine(message)}`)
    .join('');
  const head = ready ? bold('The platform is ready.') : red('The platform is not ready.');
  return `${head}\n${facts(lines)}${told}`;
}

/** One line for each piece of damage, and what of it is lost. */
export function damageTable(damage: readonly Damage[]): string {
  const rows = damage.map(({ id, place, problem, lost }) => [
    id,
    place,
    problem,
    lost === undefined ? null : lostText(lost),
  ]);
  return table(['id', 'place', 'problem', 'lost'], rows, 'No damage that nobody has acknowledged.');
}

function scrubText(scrub: Status['scrub']): string {
  if (scrub === null) return dim('not yet');
  const { ended, blobs, bytes, damaged } = scrub;
  const found = damaged === 0 ? '' : `, ${red(`${damaged} damaged`)}`;
  return `${minute(ended)} UTC: ${plural(blobs, 'blob')}, ${size(bytes)}${found}`;
}

function relayText(engine: string, relay: Status['relay']): string {
  if (!relay || relay.state === 'waiting') return engine;
  const left = relay.events.behind > 0 ? `, ${plural(relay.events.behind, 'event')} behind` : '';
  if (relay.state === 'connected') return `${engine} at ${relay.endpoint}${left}`;
  return `${engine} at ${relay.endpoint}: ${red(`not there (${relay.error})`)}${left}`;
}

/** The link, and how long it is good. */
export function dashboardText({ url, expires }: LoginLink): string {
  const minutes = Math.round((expires - Date.now()) / 60_000);
  return `${url}\n${dim(`opens once, within ${plural(minutes, 'minute')}`)}`;
}

/** What runs, where, and with which routes. */
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
    ['', dim(dashboard ? 'logs in once; again: aiot dashboard' : 'aiot dashboard logs in')],
  );
  if (project) lines.push(['project', `${project.name}  ${dim(shellWord(project.dir))}`]);
  for (const { name, from, to, state } of project?.routes ?? []) {
    lines.push([
      name,
      `${from.join(', ')} → ${to.join(', ')}${state === 'running' ? '' : `  ${bold(state)}`}`,
    ]);
  }
  lines.push(['context', context ?? 'none knows it']);
  if (token !== undefined) lines.push(['token', token], ['', dim('shown once; the context keeps it')]);
  const switched = replaced === undefined ? '' : `\ncontext ${context} is now in use (was ${replaced})`;
  return `${bold('The platform is up.')}\n${facts(lines)}${switched}`;
}
