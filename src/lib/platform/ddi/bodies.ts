import { AiotError } from '../../core/errors.js';
import { depthOf } from '../http/limits.js';
import type { Action, ActionRelease } from './action.js';
import type { FileHashes, Poll } from './ddi.js';

const executions = [
  ...['closed', 'proceeding', 'canceled', 'scheduled', 'rejected', 'resumed', 'downloaded', 'download'],
] as const;

const results = ['success', 'failure', 'none'] as const;

/** What a client says of an action. The action is the one of the URL: what the body calls it is not looked at. */
export interface Feedback {
  execution: string;
  finished: (typeof results)[number];
  details: string[];
}

/** How much of what a client says is kept: messages, and characters of one. */
const mostDetails = 48;

const longestDetail = 500;
const deepest = 32;

/** Attributes that one device may have; the rest of its tags are its operator's. */
const mostAttributes = 48;

/** @throws AIOT_REQUEST_INVALID */
export function parseFeedback(text: string): Feedback {
  const status = memberOf(jsonOf(text), 'status') ?? salvaged(text);
  const execution = memberOf(status, 'execution');
  const finished = memberOf(memberOf(status, 'result'), 'finished') ?? 'none';
  const known: readonly unknown[] = executions;
  if (!known.includes(execution)) {
    throw invalid(`status.execution: expected one of ${executions.join(', ')}`);
  }
  if (!(results as readonly unknown[]).includes(finished)) {
    throw invalid(`status.result.finished: expected one of ${results.join(', ')}`);
  }
  const details = memberOf(status, 'details');
  const said = Array.isArray(details) ? details.filter((detail) => typeof detail === 'string') : [];
  return {
    execution: execution as string,
    finished: finished as Feedback['finished'],
    details: said.slice(-mostDetails).map((detail) => printable(detail).slice(0, longestDetail)),
  };
}

/** SWUpdate does not escape what it sends with a failure: an answer of 400 would leave the action open for ever. */
function salvaged(text: string): unknown {
  const word = (name: string) =>
    new RegExp(`"${name}"\\s*:\\s*"([a-z]{1,12})"`).exec(text.slice(0, 65_536))?.[1];
  return { execution: word('execution'), result: { finished: word('finished') } };
}

/** A device's attributes: what to set, and what to take away. */
export interface Attributes {
  mode: 'merge' | 'replace' | 'remove';
  data: Record<string, string>;
}

/** @throws AIOT_REQUEST_INVALID, AIOT_RATE_LIMITED for more than a device may have */
export function parseAttributes(text: string): Attributes {
  const body = jsonOf(text);
  const mode = memberOf(body, 'mode') ?? 'merge';
  if (mode !== 'merge' && mode !== 'replace' && mode !== 'remove') {
    throw invalid('mode: expected merge, replace or remove');
  }
  const data = memberOf(body, 'data');
  if (typeof data !== 'object' || data === null || Array.isArray(data))
    throw invalid('data: expected an object');
  const entries = Object.entries(data);
  if (entries.length === 0) throw invalid('data: expected at least one attribute');
  if (entries.length > mostAttributes) {
    throw new AiotError('AIOT_RATE_LIMITED', `data: expected at most ${mostAttributes} attributes`);
  }
  const wrong = entries.find(([, value]) => typeof value !== 'string');
  if (wrong) throw invalid('data: expected texts alone');
  return { mode, data: Object.fromEntries(entries as [string, string][]) };
}

/** As the tag of a device: its own tags begin with `attr.`, so that it writes over none of its operator's. */
export function tagOf(attribute: string): string {
  return `attr.${attribute.replace(/[^A-Za-z0-9_.-]/g, '-')}`.slice(0, 63);
}

/** As the value of a tag; empty = it says nothing. */
export function tagValueOf(value: string): string {
  return [...printable(value)].slice(0, 64).join('');
}

/** What a device declares that was installed besides. @throws AIOT_REQUEST_INVALID */
export function parseInstalled(text: string): { name: string; version: string } {
  const body = jsonOf(text);
  const [name, version] = [memberOf(body, 'name'), memberOf(body, 'version')];
  if (typeof name !== 'string' || typeof version !== 'string' || name === '' || version === '') {
    throw invalid('expected a name and a version');
  }
  return { name: printable(name).slice(0, 64), version: printable(version).slice(0, 64) };
}

/** null where it is none that may be parsed. */
function jsonOf(text: string): unknown {
  if (depthOf(text) > deepest) return null;
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function memberOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? (value as Record<string, unknown>)[name]
    : undefined;
}

/** It is shown in terminals. */
function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}]+/gu, ' ').trim();
}

function invalid(message: string): AiotError {
  return new AiotError('AIOT_REQUEST_INVALID', message);
}

/** Where a device's resources are: clients follow these links as they are. */
export function linksOf(origin: string, device: string) {
  // One client looks for the tenant in capitals, and writes it small itself.
  const base = `${origin}/DEFAULT/controller/v1/${encodeURIComponent(device)}`;
  const link = (path: string) => ({ href: `${base}/${path}` });
  return {
    of: link,
    file: ({ sequence, file }: ActionRelease) => link(`softwaremodules/${sequence}/artifacts/${file}`),
  };
}

type Links = ReturnType<typeof linksOf>;

export function pollBody(links: Links, pollMs: number, { open, installed, wantsAttributes }: Poll) {
  const resource = open?.state === 'cancelling' ? 'cancelAction' : 'deploymentBase';
  return {
    config: { polling: { sleep: clock(pollMs) } },
    _links: {
      ...(open ? { [resource]: links.of(`${resource}/${open.id}`) } : {}),
      ...(installed ? { installedBase: links.of(`installedBase/${installed.id}`) } : {}),
      ...(wantsAttributes ? { configData: links.of('configData') } : {}),
    },
  };
}

/** `history`: how many of the newest messages are asked for; −1 = all. */
export function deploymentBody(links: Links, action: Action, hashes: FileHashes | null, history: number) {
  const { id, release, messages } = action;
  const said = history < 0 ? messages : messages.slice(-history);
  const asked = history !== 0 && messages.length > 0;
  return {
    id: String(id),
    deployment: {
      ...{ download: 'forced', update: 'forced' },
      chunks: release && hashes ? [chunkOf(links, release, hashes)] : [],
    },
    ...(asked ? { actionHistory: { status: statusOf(action), messages: said.toReversed() } } : {}),
  };
}

export function artifactBody(links: Links, release: ActionRelease, hashes: FileHashes) {
  const { href } = links.file(release);
  const [file, md5sum] = [{ href }, { href: `${href}.MD5SUM` }];
  return {
    ...{ filename: release.file, size: release.bytes, hashes },
    _links: { download: file, md5sum, 'download-http': file, 'md5sum-http': md5sum },
  };
}

function chunkOf(links: Links, release: ActionRelease, hashes: FileHashes) {
  return {
    // Zephyr takes no part but this one.
    part: release.file.endsWith('.bin') ? 'bApp' : 'os',
    ...{ version: String(release.version), name: release.name },
    artifacts: [artifactBody(links, release, hashes)],
  };
}

export function cancelBody({ id }: Action) {
  return { id: String(id), cancelAction: { stopId: String(id) } };
}

/** Rollouts are approved where they are started, so every device confirms by itself. */
export function confirmationBody() {
  return {
    autoConfirm: { active: true, initiator: 'platform', remark: 'Rollouts are approved on the platform.' },
  };
}

function statusOf({ state, seen, step }: Action): string {
  if (state !== 'open')
    return { cancelling: 'CANCELING', finished: 'FINISHED', failed: 'ERROR', cancelled: 'CANCELED' }[state];
  return step === 'IDLE' ? (seen ? 'RETRIEVED' : 'RUNNING') : step === 'VERIFYING' ? 'DOWNLOADED' : 'RUNNING';
}

/** `HH:MM:SS`, always of eight characters; never zero, which one client takes for once a second. */
function clock(ms: number): string {
  const seconds = Math.min(86_399, Math.max(1, Math.round(ms / 1000)));
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  return parts.map((part) => String(part).padStart(2, '0')).join(':');
}
