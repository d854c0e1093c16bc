import { isIP } from 'node:net';
import { type Severity, severities } from '../../api/contract/alarms.js';
import { AiotError, systemCode } from '../../core/errors.js';
import { plural } from '../../core/figures.js';
import { didYouMean } from '../../core/text.js';
import { openSink } from '../../stream/open.js';
import { parseStreamUrl, type StreamUrl, shownUrl } from '../../stream/url.js';
import { sendMail } from './mail.js';
import { lookupFor } from './webhook-targets.js';
import { postJson } from './webhooks.js';

/** One incident in a message. */
export interface Notice {
  incident: string;
  device: string;
  /** ms since 1970 */
  at: number;
  message: string;
}

/** One message about an alarm. Every attempt to deliver it has the same `id`. */
export interface AlarmMessage {
  id: string;
  event: 'raise' | 'clear';
  alarm: string;
  severity: Severity;
  /** Name of the alarm on this platform, the same for all of its messages. */
  key: string;
  next: string;
  incidents: readonly Notice[];
  /** Number of the alarm's open incidents of which this target has been notified. */
  open: number;
  /** ms since 1970 */
  at: number;
}

/** Number of incidents that a text lists. */
const listed = 20;
/** Number of incidents in a structured message. */
const mostIncidents = 100;
const connectTimeoutMs = 10_000;

/** Schemes of targets' URLs. */
const schemes = 'smtp smtps ntfy ntfys telegram pagerduty mqtt mqtts kafka kafkas nats natss'.split(' ');

const priorities: Record<Severity, number> = { critical: 5, warning: 4, info: 3 };
const emojis: Record<Severity, string> = {
  critical: 'rotating_light',
  warning: 'warning',
  info: 'information_source',
};

/** Returns the reason why some recipients will never receive the message; null = all recipients will. */
type Send = (message: AlarmMessage, signal: AbortSignal) => Promise<string | null>;

/**
 * Prepares delivery to a target.
 * @param url with environment variables; see `withVariables`
 * @returns a function that sends one message, or rejects with a reason without secrets
 * @throws AIOT_ALARM_TARGET
 */
export function senderFor(
  url: string,
  { allowPrivate, env }: { allowPrivate: boolean; env: NodeJS.ProcessEnv },
): Send {
  const target = parsedTarget(withVariables(url, env));
  // With TLS, the scheme ends with an additional `s`.
  const kind = /^(smtp|ntfy|mqtt|kafka|nats|http)s$/.exec(target.scheme)?.[1] ?? target.scheme;
  switch (kind) {
    case 'smtp':
      return mailTo(target, allowPrivate);
    case 'ntfy':
      return ntfyTo(target, allowPrivate);
    case 'pagerduty':
      return pagerDutyTo(target, allowPrivate);
    case 'telegram': {
      if ((target.host !== 'api.telegram.org' || target.query.base !== undefined) && !allowPrivate)
        throw refused('a server other than api.telegram.org needs --allow-private');
      return sinkTo(withVariables(url, env), (message) => ({
        topic: '',
        payload: Buffer.from(`${titleOf(message)}\n\n${textOf(message)}`),
      }));
    }
    case 'mqtt':
    case 'kafka':
    case 'nats': {
      if (!allowPrivate) throw refused('a broker as a target needs --allow-private');
      if (target.path === '') throw refused(`expected a topic, such as ${target.endpoint}/alarms`);
      return sinkTo(withVariables(url, env), (message) => ({
        topic: target.path,
        key: Buffer.from(message.alarm),
        payload: Buffer.from(JSON.stringify(structured(message))),
      }));
    }
    case 'http':
      throw refused(
        'a webhook is not an alarm target',
        "Run `aiot webhook add URL --type 'alarm.*'`; its requests are signed.",
      );
    default:
      throw refused(
        `unknown scheme ${target.scheme}${didYouMean(target.scheme, schemes)}`,
        `Use ${schemes.slice(0, -1).join(', ')} or ${schemes.at(-1)}.`,
      );
  }
}

/** An environment variable. Only these names are replaced, so that a target cannot obtain the platform's other secrets. */
const variables = /\$(AIOT_NOTIFY_[A-Z0-9_]+)/g;

export function withVariables(url: string, env: NodeJS.ProcessEnv): string {
  return url.replace(variables, (_, variable: string) => {
    const value = env[variable];
    if (value === undefined || value === '')
      throw refused(
        `the platform's environment has no variable ${variable}`,
        `Set ${variable} where the platform is started, and restart it.`,
      );
    return encodeURIComponent(value);
  });
}

function parsedTarget(url: string): StreamUrl {
  try {
    return parseStreamUrl(url);
  } catch (error) {
    throw refused(error instanceof AiotError ? error.message : 'expected a URL');
  }
}

/** A target's URL for display, without credentials. */
export function shownTarget(url: string): string {
  const to = new URLSearchParams(url.split('?')[1] ?? '').get('to');
  return `${shownUrl(url)}${to !== null && url.startsWith('smtp') ? `?to=${to}` : ''}`;
}

function titleOf({ event, alarm, severity, incidents, open }: AlarmMessage): string {
  const [first] = incidents;
  const place =
    incidents.length === 1 && first ? deviceText(first.device) : plural(incidents.length, 'device');
  if (event === 'raise') return `[${severity}] ${alarm}: ${place}`;
  return `[ended] ${alarm}: ${place}${open > 0 ? `, ${open} still open` : ''}`;
}

function deviceText(device: string): string {
  return device === '*' ? 'the fleet' : device;
}

function textOf({ event, incidents, next }: AlarmMessage): string {
  const lines = incidents
    .slice(0, listed)
    .map(({ device, at, message }) => `${deviceText(device)}: ${message} (${new Date(at).toISOString()})`);
  const more = incidents.length - listed;
  if (more > 0) lines.push(`and ${more} more`);
  if (event === 'raise') lines.push('', next);
  return lines.join('\n');
}

/** The message as JSON, for brokers and as details. */
function structured({ id, event, alarm, severity, key, next, incidents, open, at }: AlarmMessage) {
  return {
    ...{ id, event, alarm, severity, key, next, open, at, total: incidents.length },
    incidents: incidents.slice(0, mostIncidents),
  };
}

/** smtp://USER:PASSWORD@HOST:PORT?from=ADDRESS&to=ADDRESS,… */
function mailTo({ scheme, host, query, username, password }: StreamUrl, allowPrivate: boolean): Send {
  const address = /^[^\s@<>,"()]+@[^\s@<>,"()]+$/;
  const { from = '', to = '', ...others } = query as Record<string, string>;
  const recipients = to.split(',').map((each) => each.trim());
  if (!address.test(from) || !recipients.every((each) => address.test(each)))
    throw refused('expected ?from=ADDRESS&to=ADDRESS,… with e-mail addresses');
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) throw refused(`unknown setting ${unknown}; expected from and to`);
  const server = hostOf(host, scheme === 'smtps' ? 465 : 587, allowPrivate);
  const tls = scheme === 'smtps' ? 'implicit' : allowPrivate ? 'offered' : 'required';
  return (message, signal) =>
    sendMail(
      { ...server, tls, username, password },
      {
        ...{ from, to: recipients, subject: titleOf(message), text: `${textOf(message)}\n` },
        ...{ id: message.id, date: message.at },
      },
      signal,
    );
}

/** ntfys://:TOKEN@HOST/TOPIC; the message is published as JSON (ntfy's documentation, "Publish as JSON"). */
function ntfyTo({ scheme, host, path, username, password }: StreamUrl, allowPrivate: boolean): Send {
  if (!/^[\w-]{1,64}$/.test(path))
    throw refused('expected a topic of letters, digits, - and _, such as ntfys://ntfy.sh/TOPIC');
  const url = `${scheme === 'ntfys' ? 'https' : 'http'}://${host}/`;
  const basic = () => `Basic ${Buffer.from(`${username}:${password ?? ''}`).toString('base64')}`;
  const authorization = username ? basic() : password === undefined ? undefined : `Bearer ${password}`;
  return (message, signal) =>
    post(url, allowPrivate, authorization ? { authorization } : {}, signal, {
      ...{ topic: path, title: titleOf(message), message: textOf(message) },
      priority: message.event === 'raise' ? priorities[message.severity] : 2,
      tags: [message.event === 'raise' ? emojis[message.severity] : 'white_check_mark'],
    });
}

/**
 * pagerduty://ROUTING_KEY@events.pagerduty.com: Events API v2. The alarm's incidents are one incident there, which ends with the last of them.
 * `?base=URL` is another server with this API.
 */
function pagerDutyTo({ host, path, query, username }: StreamUrl, allowPrivate: boolean): Send {
  if (!username || path !== '') throw refused('expected pagerduty://ROUTING_KEY@events.pagerduty.com');
  const base = typeof query.base === 'string' ? query.base.replace(/\/$/, '') : `https://${host}`;
  return async (message, signal) => {
    const { event, alarm, severity, key, at, open } = message;
    if (event === 'clear' && open > 0) return null;
    return post(`${base}/v2/enqueue`, allowPrivate, {}, signal, {
      ...{ routing_key: username, event_action: event === 'raise' ? 'trigger' : 'resolve', dedup_key: key },
      payload: {
        ...{ summary: titleOf(message).slice(0, 1024), source: key, severity },
        ...{ timestamp: new Date(at).toISOString(), component: alarm, class: 'alarm' },
        custom_details: structured(message),
      },
    });
  };
}

async function post(
  url: string,
  allowPrivate: boolean,
  headers: Record<string, string>,
  signal: AbortSignal,
  value: object,
): Promise<null> {
  const { error } = await postJson({ url, allowPrivate, headers, body: JSON.stringify(value), signal });
  if (error !== null) throw refused(error);
  return null;
}

type Outgoing = (message: AlarmMessage) => { topic: string; key?: Buffer; payload: Buffer };

/** Opens the sink for each message, because messages are rare. */
function sinkTo(url: string, made: Outgoing): Send {
  return async (message, signal) => {
    const sink = await openSink(url, { connectTimeoutMs, signal });
    try {
      await sink.write([{ ...made(message), time: message.at, headers: [['aiot-id', message.id]] }]);
      return null;
    } finally {
      await sink.close().catch(() => {});
    }
  };
}

/** @throws AIOT_ALARM_TARGET for an internal host that was not allowed */
function hostOf(text: string, usual: number, allowPrivate: boolean) {
  const [, name = '', port = String(usual)] = /^(\[[0-9a-f:]+\]|[^:[\]]+)(?::(\d{1,5}))?$/i.exec(text) ?? [];
  const host = name.replace(/^\[|\]$/g, '');
  if (host === '' || Number(port) > 65_535) throw refused('expected HOST or HOST:PORT');
  if (isIP(host) !== 0 && !allowPrivate)
    throw refused('an IP address as a mail server needs --allow-private');
  return { host, port: Number(port), lookup: isIP(host) === 0 ? lookupFor(allowPrivate) : undefined };
}

/** Why a message could not be delivered, without secrets. */
export function failureOf(error: unknown): string {
  if (error instanceof AiotError) return error.message.slice(0, 300);
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  if (cause instanceof AiotError) return cause.message.slice(0, 300);
  const code = systemCode(cause) ?? systemCode(error);
  if (code !== undefined) return `no response (${code})`;
  return error instanceof Error ? error.message.slice(0, 300) : 'unknown error';
}

function refused(why: string, next?: string): AiotError {
  return new AiotError('AIOT_ALARM_TARGET', why, next === undefined ? {} : { next });
}

/** Whether an alarm's severity is at least a target's. */
export function isSevere(severity: string, least: Severity): boolean {
  return severities.indexOf(severity as Severity) >= severities.indexOf(least);
}
