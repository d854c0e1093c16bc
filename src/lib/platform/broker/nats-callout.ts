import { randomInt } from 'node:crypto';
import type { Msg } from 'nats';
import type { Logger } from 'pino';
import * as z from 'zod';
import type { BrokerAuth } from '../../api/contract/broker.js';
import { sha256Hex } from '../../core/crypto.js';
import { AiotError } from '../../core/errors.js';
import { thousands } from '../../core/figures.js';
import { type DeviceChannel, deviceChannels, topicOf } from '../../device/protocol/codec.js';
import { isNkey, readSignedClaims } from '../../formats/nkey.js';
import type { NatsClient } from '../../stream/nats/connect.js';
import { reachDigest } from '../access/reach.js';
import type { Admission, Authorizer } from './authorizer.js';
import { certificateIn } from './authorizer.js';
import type { Identity, UserIdentity } from './identity.js';
import type { CalloutKeys } from './nats-config.js';

/**
 * Subject of the requests, and the header that contains the key with which a request is encrypted (NATS ADR-26, "Authorization Callout").
 */
const [questions, keyHeader] = ['$SYS.REQ.USER.AUTH', 'Nats-Server-Xkey'];

/** The replicas of a platform share one queue group, so that each request reaches only one of them. Other platforms have other groups. */
const groupOf = ({ issuer }: CalloutKeys) => `aiot-auth-${issuer.publicKey.slice(0, 16)}`;

/** Maximum size of a request, bytes. Its largest part is the client's certificate chain. */
const longestQuestion = 256 * 1024;

/** Maximum difference between the clocks of the server and the platform, s. */
const clockSkew = 60;

/**
 * How long a client stays connected before the server closes its connection, s: a random time within this range, so that clients that
 * connected together do not all return together.
 */
const connected = { least: 18 * 3600, most: 24 * 3600 };

/** Tags of clients that the platform has admitted. The server shows them with a connection. */
export const clientTags = {
  device: 'aiot-device',
  user: 'aiot-user',
  role: 'aiot-role-',
  certificate: 'aiot-certificate-',
  /** Followed by the digest of the devices in reach; absent = all devices. */
  reach: 'aiot-reach-',
};

/**
 * Maximum number of devices that a limited client can reach, and of its subjects. They are part of the answer: with 1,000 devices, a server
 * needs 3 MiB per connection; with 5,000, the answer of an operator exceeds the server's `max_payload` (1 MiB).
 */
export const [mostReachable, mostSubjects] = [1000, 4000];

/** A server's `max_payload` unless it is configured, and the longest addition of the encryption, bytes. */
const [usualPayload, sealing] = [1024 * 1024, 256];

interface CalloutParts {
  client: NatsClient;
  keys: CalloutKeys;
  /** The server's account for the clients. */
  account: string;
  authorizer: Pick<Authorizer, 'admit'>;
  /** s since 1970 */
  now: () => number;
  log: Logger;
}

/**
 * Answers the authorization requests that NATS servers send for connecting clients (auth callout). A client gets the rights that it has at
 * the built-in broker. Returns a function that stops answering.
 */
export function answerCallouts(parts: CalloutParts): () => void {
  const { client, keys, log } = parts;
  const curve: CurveKey = client.nats.nkeys.fromCurveSeed(Buffer.from(keys.curve.seed));
  const complain = oncePerMinute();
  const answer = async (msg: Msg) => {
    const opened = openQuestion(msg, curve);
    if ('unreadable' in opened) {
      // Only a decrypted request names the client, so no response is possible. The server rejects the client after its `timeout`.
      if (complain(opened.unreadable)) log.error({ next }, opened.unreadable);
      return;
    }
    const text = await answerTo(opened.question, parts, complain);
    if (text === null) return;
    msg.respond(opened.sender === null ? Buffer.from(text) : curve.seal(Buffer.from(text), opened.sender));
  };
  const subscription = client.nc.subscribe(questions, {
    queue: groupOf(keys),
    callback(error, msg) {
      if (error) log.error({ err: error }, "could not receive the NATS server's questions");
      else
        answer(msg).catch((err: unknown) => log.error({ err }, "could not answer a NATS server's question"));
    },
  });
  return () => subscription.unsubscribe();
}

const next = "Copy nats-auth.conf from the platform's folder pki to the NATS servers, and restart them.";

/** A key that encrypts with X25519; nats.js does not declare its type. */
interface CurveKey {
  seal(message: Uint8Array, recipient: string): Uint8Array;
  open(message: Uint8Array, sender: string): Uint8Array | null;
}

type Opened = { question: string; sender: string | null } | { unreadable: string };

/** @returns the request's JWT, and the server's key for encrypting the response; null = the request was not encrypted */
function openQuestion({ data, headers }: Msg, curve: CurveKey): Opened {
  if (data.length > longestQuestion)
    return { unreadable: 'a NATS server asked with a message that is too long' };
  const sender = headers?.get(keyHeader) ?? '';
  if (sender === '') return { question: Buffer.from(data).toString('utf8'), sender: null };
  const opened = isNkey(sender, 'curve') ? curve.open(data, sender) : null;
  if (opened === null)
    return { unreadable: "could not decrypt a NATS server's question: its xkey is not this platform's" };
  return { question: Buffer.from(opened).toString('utf8'), sender };
}

const text = z.string().optional();

/** The claims of a request that are needed here; servers add others (AuthorizationRequestClaims of github.com/nats-io/jwt). */
const questionSchema = z.object({
  iss: z.string(),
  sub: z.string(),
  aud: z.literal('nats-authorization-request'),
  exp: z.number(),
  nats: z.object({
    type: z.literal('authorization_request'),
    server_id: z.object({ id: z.string(), name: text }),
    user_nkey: z.string().refine((key) => isNkey(key, 'user')),
    client_info: z.object({ host: text, kind: text, type: text, mqtt_id: text }),
    connect_opts: z.object({ user: text, pass: text, auth_token: text }),
    client_tls: z
      .object({
        certs: z.array(z.string()).optional(),
        verified_chains: z.array(z.array(z.string())).optional(),
      })
      .optional(),
  }),
});
type Question = z.output<typeof questionSchema>;

/** The response's JWT; null if the message is not a request from a NATS server. Such a message gets no response. */
async function answerTo(
  jwt: string,
  parts: CalloutParts,
  complain: (what: string) => boolean,
): Promise<string | null> {
  const { client, keys, log, now } = parts;
  const parsed = questionSchema.safeParse(readSignedClaims(jwt, 'server'));
  if (!parsed.success || parsed.data.iss !== parsed.data.nats.server_id.id) {
    if (complain('malformed')) log.warn('ignored a message that is not a signed question of a NATS server');
    return null;
  }
  const question = parsed.data;
  const refuse = (error: string, details: object = {}) => {
    const { client_info: info, server_id: server } = question.nats;
    const name = info.mqtt_id || question.nats.connect_opts.user;
    // Repeated attempts must not flood the log.
    const level = complain(`${name} ${info.host} ${error}`) ? 'warn' : 'debug';
    log[level](
      { client: name, address: info.host, server: server.name, ...details },
      `denied a client of NATS: ${error}`,
    );
    return signedAnswer(question, keys, { error });
  };
  if (question.sub !== keys.issuer.publicKey)
    return refuse("the server's issuer is not this platform's", { issuer: question.sub, next });
  if (question.exp + clockSkew < now())
    return refuse('the request has expired: the clocks of the server and the platform differ');
  const asked = clientOf(question);
  if (typeof asked === 'string') return refuse(asked);
  const session = question.nats.client_info.type === 'mqtt';
  const admitted = await parts.authorizer.admit(asked, 'NATS', { named: false, session });
  if ('refused' in admitted) return refuse(admitted.refused);
  const excess = excessOf(admitted);
  if (excess) return refuse(`${excess.code}: ${excess.message}`);
  const answer = signedAnswer(question, keys, { jwt: userJwt(question, admitted, asked, parts) });
  const [bytes, most] = [Buffer.byteLength(answer), (client.nc.info?.max_payload ?? usualPayload) - sealing];
  if (bytes <= most) return answer;
  const tooLong = excessError(
    `the permissions of ${admitted.user} need ${thousands(bytes)} bytes; the limit of the server is ${thousands(most)}`,
  );
  return refuse(`${tooLong.code}: ${tooLong.message}`);
}

/** The error for a limited client whose rights are too many to be listed; null = they are not. */
function excessOf({ identity, user, devices = [] }: Admission): AiotError | null {
  // Before the permissions are built: 100,000 devices would have hundreds of thousands.
  if (devices.length > mostReachable)
    return excessError(
      `${user} can reach ${thousands(devices.length)} devices; the limit at NATS is ${thousands(mostReachable)}`,
    );
  const { pub, sub } = natsRights(identity, devices);
  const subjects = (pub.allow?.length ?? 0) + (sub.allow?.length ?? 0);
  if (subjects <= mostSubjects) return null;
  return excessError(
    `${user} needs ${thousands(subjects)} permissions; the limit at NATS is ${thousands(mostSubjects)}`,
  );
}

const excessError = (message: string) => new AiotError('AIOT_BROKER_RIGHTS', message);

/** The client in the form of the HTTP API's authorization requests. @returns the reason if no client of this kind is admitted */
function clientOf({ nats }: Question): BrokerAuth | string {
  const { client_info: info, connect_opts: options, client_tls: tls } = nats;
  if (info.kind !== 'Client') return `only clients can connect through the platform, not a ${info.kind}`;
  const [certificate] = tls?.verified_chains?.[0] ?? [];
  if (certificate === undefined && (tls?.certs ?? []).length > 0)
    return 'the server has not verified the certificate: set "verify: optional" and "ca_file" in its tls block';
  return {
    username: options.user ?? '',
    clientId: info.mqtt_id ?? '',
    password: options.pass || options.auth_token || null,
    address: info.host ?? '',
    tls: tls !== undefined,
    ...(certificate === undefined ? {} : { certificate }),
  };
}

/** The client's rights, as a JWT that the server accepts for this connection only. */
function userJwt(
  { nats }: Question,
  { identity, user, expires, devices }: Admission,
  { certificate }: BrokerAuth,
  { keys, account, now }: CalloutParts,
): string {
  const shown = certificate ? certificateIn(certificate) : null;
  const ends = [expires, shown === null ? null : Date.parse(shown.validTo)].flatMap((ms) =>
    ms === null ? [] : [Math.floor(ms / 1000)],
  );
  const tags = [
    identity.kind === 'device' ? clientTags.device : clientTags.user,
    ...(identity.kind === 'user' ? [clientTags.role + identity.role] : []),
    ...(shown === null ? [] : [clientTags.certificate + sha256Hex(shown.raw)]),
    ...(devices === undefined ? [] : [clientTags.reach + reachDigest(devices)]),
  ];
  return keys.issuer.signClaims({
    jti: nats.user_nkey,
    iat: now(),
    exp: Math.min(now() + randomInt(connected.least, connected.most), ...ends),
    sub: nats.user_nkey,
    aud: account,
    name: user,
    nats: {
      type: 'user',
      version: 2,
      tags,
      ...natsRights(identity, devices),
      subs: -1,
      data: -1,
      payload: -1,
    },
  });
}

function signedAnswer(
  { nats }: Question,
  { issuer }: CalloutKeys,
  answer: { jwt: string } | { error: string },
): string {
  return issuer.signClaims({
    jti: nats.user_nkey,
    sub: nats.user_nkey,
    aud: nats.server_id.id,
    nats: { type: 'authorization_response', version: 2, ...answer },
  });
}

/** Whether a problem has not been reported within the last minute. */
function oncePerMinute(): (what: string) => boolean {
  const reported = new Map<string, number>();
  return (what) => {
    const at = performance.now();
    if (at - (reported.get(what) ?? -60_000) < 60_000) return false;
    if (reported.size > 10_000) reported.clear();
    reported.set(what, at);
    return true;
  };
}

/** Rights of a client at a NATS server, as in a user's JWT. Without an `allow` list, everything that is not denied is allowed. */
export interface NatsRights {
  pub: SubjectRights;
  sub: SubjectRights;
}

interface SubjectRights {
  allow?: readonly string[];
  deny?: readonly string[];
}

/** Grants nothing. An empty list of allowed subjects would grant everything. */
const none: SubjectRights = { deny: ['>'] };

/**
 * Subjects of the server's services and of its MQTT storage. The server serves MQTT clients itself, so they need none of these.
 * `$MQTT.sub.>` is missing, because the server delivers messages to MQTT clients through these subjects.
 */
const reserved = [
  ...['$SYS', '$JS', '$JSC', '$NRG', '$KV', '$O', '$SRV', '_INBOX', '_R_', '_GR_'].map((name) => `${name}.>`),
  ...['msgs', 'rmsgs', 'sess', 'out', 'qos2', 'JSA'].map((name) => `$MQTT.${name}.>`),
];

/** Subjects that no client may publish to: those of all topics that begin with `$`, which the built-in broker rejects too. */
const unpublishable = [...reserved, '$MQTT.>'];

/**
 * The rights that the identity has at the built-in broker (`mayPublish`, `maySubscribe`), as subjects.
 * @param devices names of the devices in reach; all others are out of reach
 */
export function natsRights(identity: Identity, devices: readonly string[] = []): NatsRights {
  if (identity.kind === 'device') return deviceRights(identity.name);
  if (identity.kind === 'board') return { pub: none, sub: none };
  if (identity.reach !== null) return limitedRights(identity, devices);
  return { pub: publishRights(identity), sub: subscribeRights(identity) };
}

/** The subjects of single devices, without wildcards that match other devices. */
function limitedRights({ role, scopes }: UserIdentity, devices: readonly string[]): NatsRights {
  const filters = scopes === null ? ['#'] : streamsIn(scopes);
  const allow = devices.flatMap((name) =>
    filters.flatMap((filter) => {
      const own = filterWithinDevice(filter, name);
      return own === null ? [] : subjectsOf(own);
    }),
  );
  const rights = allow.length === 0 ? none : { allow };
  // A queue group takes messages from its other members, so it cannot leave out devices.
  const sub = allow.length === 0 ? none : { allow, deny: ['> >'] };
  return { pub: role === 'operator' ? rights : none, sub };
}

/** The part of a filter that matches topics of one device; null = none. */
function filterWithinDevice(filter: string, name: string): string | null {
  const own = ['aiot', 'v1', name];
  const levels = filter.split('/');
  const end = levels.indexOf('#');
  if (end >= 0 && end < own.length && own.every((level, i) => i >= end || fits(levels[i], level)))
    return [...own, '#'].join('/');
  if (levels.length < own.length || !own.every((level, i) => fits(levels[i], level))) return null;
  return [...own, ...levels.slice(own.length)].join('/');
}

const fits = (wanted: string | undefined, level: string) => wanted === '+' || wanted === level;

function deviceRights(name: string): NatsRights {
  const subjects = (by: 'device' | 'platform') =>
    (Object.keys(deviceChannels) as DeviceChannel[])
      .filter((channel) => deviceChannels[channel] === by)
      .flatMap((channel) => subjectsOf(topicOf(name, channel, channel === 'telemetry' ? '+' : undefined)));
  return { pub: { allow: subjects('device') }, sub: { allow: subjects('platform') } };
}

function publishRights(user: UserIdentity): SubjectRights {
  if (user.role !== 'operator' && user.role !== 'ci') return none;
  // Only operators may publish messages meant for devices.
  const deny = user.role === 'ci' ? [...unpublishable, 'aiot.v1.>'] : unpublishable;
  return within(user, deny);
}

function subscribeRights(user: UserIdentity): SubjectRights {
  return within(user, reserved);
}

function within({ scopes }: UserIdentity, deny: readonly string[]): SubjectRights {
  if (scopes === null) return { allow: ['>'], deny };
  const allow = streamsIn(scopes).flatMap(subjectsOf);
  return allow.length === 0 ? none : { allow, deny };
}

/** The topic filters in a token's scopes. */
function streamsIn(scopes: readonly string[]): string[] {
  const prefix = 'stream:';
  return scopes.flatMap((scope) => (scope.startsWith(prefix) ? [scope.slice(prefix.length)] : []));
}

/**
 * The subjects of an MQTT topic or filter (NATS docs, "MQTT Topics and NATS Subjects"). `/` separates tokens, a dot is
 * written as `//`, and an empty level as `/`. Empty if NATS has no such subject.
 */
export function subjectsOf(filter: string): string[] {
  // Within a level, NATS would read these characters as wildcards or as the end of the subject.
  if (filter === '' || /[*>\s\u007f]/.test(filter)) return [];
  const tokens = filter.split('/').map((level) => {
    if (level === '+') return '*';
    if (level === '#') return '>';
    return level === '' ? '/' : level.replaceAll('.', '//');
  });
  const subject = tokens.join('.');
  // In MQTT, `a/#` includes `a`; in NATS, `a.>` does not include `a`.
  return tokens.length > 1 && tokens.at(-1) === '>' ? [tokens.slice(0, -1).join('.'), subject] : [subject];
}
