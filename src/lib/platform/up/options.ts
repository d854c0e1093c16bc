import { join, resolve } from 'node:path';
import * as z from 'zod';
import { platformUrlsSchema } from '../../api/api.js';
import { projectAlarmsAppliedSchema } from '../../api/contract/alarm-targets.js';
import { commandsAppliedSchema } from '../../api/contract/commands.js';
import { integrationAppliedSchema, settingsAppliedSchema } from '../../api/contract/settings.js';
import { dataFolder } from '../../core/folders.js';
import { formatDuration } from '../../core/time.js';
import { secretIn } from '../../stream/url.js';
import type { ProviderOptions } from '../access/provider.js';
import { type Compatibility, type Engines, type PlatformOptions, usualDdiPollMs } from '../options.js';
import type { Restart } from '../running.js';

/** Options of `aiot up`. */
export interface UpOptions {
  /** Folder of the platform; the user's data folder when absent. */
  data?: string | undefined;
  host: string;
  /** As in PlatformOptions. */
  names?: readonly string[] | undefined;
  httpPort: number;
  mqttPort: number;
  /** Port for the listener without TLS; absent = none. */
  plainPort?: number | undefined;
  /** Port of MQTT over WebSocket; absent = none. */
  wsPort?: number | undefined;
  newToken: boolean;
  /** As in PlatformOptions. */
  noToken?: boolean | undefined;
  engines?: Engines | undefined;
  serverCertificate?: PlatformOptions['serverCertificate'];
  compatPorts?: PlatformOptions['compatPorts'];
  compatMaxRows?: number | undefined;
  compatQuota?: number | undefined;
  /** Port of the Direct Device Integration API without TLS; absent = none. */
  ddiPort?: number | undefined;
  /** Polling interval of Direct Device Integration API clients, ms. */
  ddiPollMs?: number | undefined;
  compatDeleteAll?: boolean | undefined;
  /** As in PlatformOptions. */
  recordShells?: boolean | undefined;
  /** As in PlatformOptions. */
  replicaUrl?: string | undefined;
  /** Collector for the platform's own telemetry, instead of OTEL_EXPORTER_OTLP_ENDPOINT. */
  otlp?: string | undefined;
  /** The login provider, with the file of the client's secret; without a file, AIOT_OIDC_SECRET is used. */
  provider?: (Omit<ProviderOptions, 'clientSecret'> & { secretFile?: string | undefined }) | undefined;
  /** Overrides the rate limits. */
  rates?: PlatformOptions['rates'];
  /** Third-party clients to support through separate listeners. */
  compat?: Compatibility[] | undefined;
  /** Name of the context for the platform; `local`, or the next free name, when absent. */
  context?: string | undefined;
  /** Set when a project is started with the platform; see PlatformOptions. */
  boards?: PlatformOptions['boards'];
  readers?: PlatformOptions['readers'];
  /** How to start the platform again; set when a project is started with it. Default: `restartOf` these options. */
  restart?: Restart | undefined;
  /** Project that the background process starts too. */
  project?:
    | { dir: string; set: Readonly<Record<string, string>>; boardPort?: number | undefined }
    | undefined;
}

export const upResultSchema = z.object({
  pid: z.int(),
  urls: platformUrlsSchema,
  /** PEM file of the CA. */
  ca: z.string(),
  /** Operator token; only if one was issued at this start. */
  token: z.string().optional(),
  /** The context for this platform; absent when there is none. */
  context: z.string().optional(),
  /** A link that logs one browser into the dashboard; absent if no context refers to the platform, or a service manager runs it. */
  dashboard: z.string().optional(),
  /** The previously used context, if it was a different one. */
  replaced: z.string().optional(),
  /** The project that was started with the platform. */
  project: z
    .object({
      name: z.string(),
      dir: z.string(),
      routes: z.array(
        z.object({
          name: z.string(),
          /** Addresses without credentials. */
          from: z.array(z.string()),
          to: z.array(z.string()),
          state: z.enum(['starting', 'running', 'failing', 'ended']),
        }),
      ),
      /** Changes to the project's alarms and targets; null while the database is being checked. */
      alarms: projectAlarmsAppliedSchema.nullable(),
      /** Changes to the commands of the project's devices; null while the database is being checked. */
      commands: commandsAppliedSchema.nullable(),
      /** Changes to the settings of the project's devices; null while the database is being checked. */
      settings: settingsAppliedSchema.nullable(),
      /** Change to what is published for Home Assistant; null while the database is being checked. */
      homeAssistant: integrationAppliedSchema.nullable(),
      /** Change to the Sparkplug edge node; null while the database is being checked. */
      sparkplug: integrationAppliedSchema.nullable(),
    })
    .optional(),
});

export type UpResult = z.output<typeof upResultSchema>;

/** Absolute path of a platform's folder. */
export function platformFolder(data: string | undefined): string {
  return data === undefined ? join(dataFolder(), 'platform') : resolve(data);
}

/**
 * Arguments of `aiot up` that reproduce these options; engines are left out, because their addresses may contain passwords.
 * @param folder of the platform; undefined = the one set in the environment, or the default
 */
export function argumentsOf(folder: string | undefined, options: UpOptions): string[] {
  const { host, httpPort, mqttPort, plainPort, newToken, context, compat = [], project } = options;
  const boardPort = project?.boardPort;
  return [
    ...['up', '--json', ...(folder === undefined ? [] : ['--data', folder]), '--host', host],
    ...['--http-port', String(httpPort), '--mqtt-port', String(mqttPort)],
    ...(plainPort === undefined ? [] : ['--plain', '--plain-port', String(plainPort)]),
    ...(newToken ? ['--new-token'] : []),
    ...(options.noToken ? ['--no-token'] : []),
    ...compat.flatMap((name) => ['--compat', name]),
    ...(context === undefined ? [] : ['--context', context]),
    ...(project === undefined ? [] : ['--project', project.dir]),
    ...(boardPort === undefined ? [] : ['--board-port', String(boardPort)]),
    ...sideDoorsOf(options),
  ];
}

/** The engines' addresses as words of `aiot up`, which may contain passwords. */
export function engineArguments({ engines = {} }: UpOptions): [flag: string, url: string][] {
  return Object.entries(engines).flatMap(([name, url]): [string, string][] =>
    url === undefined
      ? []
      : [[`--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`, url as string]],
  );
}

/** Options that `argumentsOf` always returns, with the values that need not be typed. */
const usual: Readonly<Record<string, string>> = {
  ...{ '--host': '127.0.0.1', '--plain-port': '1883' },
  ...{ '--compat-ports': '30005,30006,30007,30008', '--compat-max-rows': '10' },
  ...{ '--oidc-groups': 'groups', '--oidc-recheck': '5m' },
};

/** The options that start the same platform again, without those that vary with each start (see `restartSchema`). Paths are absolute. */
export function restartOf(options: UpOptions): Restart {
  const { project } = options;
  const given = argumentsOf(undefined, {
    ...absolute(options),
    ...{ newToken: false, project: project && { ...project, dir: resolve(project.dir) } },
  }).slice(2);
  const words: string[] = [];
  for (let at = 0; at < given.length; at++) {
    const [flag = '', value = ''] = given.slice(at, at + 2);
    if (usual[flag] === value || flag === '--http-port' || flag === '--mqtt-port') at++;
    else words.push(flag);
  }
  const engines = engineArguments(options);
  const secret = engines.filter(([, url]) => mayHoldSecret(url)).map(([flag]) => flag);
  words.push(...engines.filter(([flag]) => !secret.includes(flag)).flat());
  if (Object.keys(project?.set ?? {}).length > 0) secret.push('--set');
  return { words, secret };
}

/** Whether an engine's address, or its name, may contain a secret. An address that cannot be parsed is assumed to contain one. */
function mayHoldSecret(engine: string): boolean {
  if (!engine.includes(':')) return false;
  try {
    return secretIn(engine) !== undefined;
  } catch {
    return true;
  }
}

/** Makes paths of files absolute, because a later start may have another working directory. */
export function absolute(up: UpOptions): UpOptions {
  const { serverCertificate: own, provider } = up;
  const secretFile = provider?.secretFile;
  return {
    ...up,
    ...(own && { serverCertificate: { cert: resolve(own.cert), key: resolve(own.key) } }),
    ...(provider && secretFile !== undefined
      ? { provider: { ...provider, secretFile: resolve(secretFile) } }
      : {}),
  };
}

function sideDoorsOf(options: UpOptions): string[] {
  const {
    names = [],
    wsPort,
    serverCertificate: own,
    compatPorts,
    compatMaxRows,
    compatQuota,
    compatDeleteAll,
    ddiPort,
    ddiPollMs,
  } = options;
  return [
    ...(wsPort === undefined ? [] : ['--ws-port', String(wsPort)]),
    ...(names.length === 0 ? [] : ['--public', names.join(',')]),
    ...(own === undefined ? [] : ['--cert', own.cert, '--key', own.key]),
    ...(compatPorts === undefined ? [] : ['--compat-ports', compatPorts.join(',')]),
    ...(compatMaxRows === undefined ? [] : ['--compat-max-rows', String(compatMaxRows)]),
    ...(compatQuota === undefined ? [] : ['--compat-quota', String(compatQuota)]),
    ...(ddiPort === undefined ? [] : ['--ddi-port', String(ddiPort)]),
    ...(ddiPollMs === undefined || ddiPollMs === usualDdiPollMs
      ? []
      : ['--ddi-poll', formatDuration(ddiPollMs)]),
    ...(compatDeleteAll ? ['--compat-delete-all'] : []),
    ...providerArguments(options),
    ...(options.recordShells ? ['--record-shells'] : []),
    ...(options.replicaUrl === undefined ? [] : ['--replica-url', options.replicaUrl]),
    ...(options.otlp === undefined ? [] : ['--otlp', options.otlp]),
  ];
}

function providerArguments({ provider }: UpOptions): string[] {
  if (!provider) return [];
  const { issuer, clientId, secretFile, groupsClaim, roles, selectors = {}, recheckMs } = provider;
  return [
    ...['--oidc-issuer', issuer, '--oidc-client', clientId],
    ...(secretFile === undefined ? [] : ['--oidc-secret-file', secretFile]),
    ...['--oidc-groups', groupsClaim, '--oidc-recheck', formatDuration(recheckMs)],
    ...Object.entries(roles).flatMap(([group, role]) => {
      const limit = Object.hasOwn(selectors, group) ? `:${selectors[group]}` : '';
      return ['--oidc-role', `${group}=${role}${limit}`];
    }),
  ];
}
