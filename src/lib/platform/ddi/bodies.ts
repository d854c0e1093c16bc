import { AiotError } from '../../core/errors.js';
import { parsedJson } from '../../core/text.js';
import { depthOf } from '../http/limits.js';
import type { Action, ActionRelease } from './action.js';
import type { FileHashes, Poll } from './ddi.js';

const executions = [
  ...['closed', 'proceeding', 'canceled', 'scheduled', 'rejected', 'resumed', 'downloaded', 'download'],
] as const;

const results = ['success', 'failure', 'none'] as const;

/** A client's feedback on an action. The URL determines the action; the id in the body is ignored. */
export interface Feedback {
  execution: string;
  finished: (typeof results)[number];
  details: string[];
}

/** Limits on stored feedback: number of messages, and characters per message. */
const mostDetails = 48;

const longestDetail = 500;
const deepest = 32;

/** Maximum number of attributes for each device; the remaining tags are for its operator. */
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

/** Extracts the fields from invalid JSON. SWUpdate does not escape failure messages, and a 400 would leave the action open forever. */
function salvaged(text: string): unknown {
  const word = (name: string) =>
    new RegExp(`"${name}"\\s*:\\s*"([a-z]{1,12})"`).exec(text.slice(0, 65_536))?.[1];
  return { execution: word('execution'), result: { finished: word('finished') } };
}

/** A device's attributes: those to set, and those to delete. */
export interface Attributes {
  mode: 'merge' | 'replace' | 'remove';
  data: Record<string, string>;
}

/** @throws AIOT_REQUEST_INVALID, AIOT_RATE_LIMITED for more attributes than a device may have */
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
    throw new AiotError('AIOT_RATE_LIMITED', `data: expected at most ${mostAttributes} attributes`, {
      next: 'Send fewer attributes.',
    });
  }
  const wrong = entries.find(([, value]) => typeof value !== 'string');
  if (wrong) throw invalid('data: expected only string values');
  return { mode, data: Object.fromEntries(entries as [string, string][]) };
}

/** Tag name for an attribute: it begins with `attr.`, so that the attribute never overwrites an operator's tag. */
export function tagOf(attribute: string): string {
  return `attr.${attribute.replace(/[^A-Za-z0-9_.-]/g, '-')}`.slice(0, 63);
}

/** Tag value for an attribute; empty = no value. */
export function tagValueOf(value: string): string {
  return [...printable(value)].slice(0, 64).join('');
}

/** Additional installed software that a device declares. @throws AIOT_REQUEST_INVALID */
export function parseInstalled(text: string): { name: string; version: string } {
  const body = jsonOf(text);
  const [name, version] = [memberOf(body, 'name'), memberOf(body, 'version')];
  if (typeof name !== 'string' || typeof version !== 'string' || name === '' || version === '') {
    throw invalid('expected both a name and a version');
  }
  return { name: printable(name).slice(0, 64), version: printable(version).slice(0, 64) };
}

/** Parses JSON; null if the text is not valid. */
function jsonOf(text: string): unknown {
  return depthOf(text) > deepest ? null : (parsedJson(text) ?? null);
}

function memberOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? (value as Record<string, unknown>)[name]
    : undefined;
}

/** Makes text safe to print in terminals. */
function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}]+/gu, ' ').trim();
}

function invalid(message: string): AiotError {
  return new AiotError('AIOT_REQUEST_INVALID', message);
}

/** URLs of a device's resources, which clients follow unchanged. */
export function linksOf(origin: string, device: string) {
  // One client searches for the tenant in capitals, but writes it in lower case.
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

/** @param history number of newest messages to include; −1 = all */
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
    // Zephyr accepts only this part name.
    part: release.file.endsWith('.bin') ? 'bApp' : 'os',
    ...{ version: String(release.version), name: release.name },
    artifacts: [artifactBody(links, release, hashes)],
  };
}

export function cancelBody({ id }: Action) {
  return { id: String(id), cancelAction: { stopId: String(id) } };
}

/** Rollouts are approved when they are started, so every device confirms automatically. */
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

/** Formats a duration as `HH:MM:SS`, always eight characters. Never zero, because one client would then poll once per second. */
function clock(ms: number): string {
  const seconds = Math.min(86_399, Math.max(1, Math.round(ms / 1000)));
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  return parts.map((part) => String(part).padStart(2, '0')).join(':');
}
