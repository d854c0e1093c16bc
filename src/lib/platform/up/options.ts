import { join, resolve } from 'node:path';
import * as z from 'zod';
import { dataFolder } from '../../core/folders.js';
import { formatDuration } from '../../core/time.js';
import { platformUrlsSchema } from '../../registry/api.js';
import { type Compatibility, type Engines, type PlatformOptions, usualDdiPollMs } from '../options.js';

/** What `aiot up` is told. */
export interface UpOptions {
  /** Folder of the platform; the user's data folder when absent. */
  data?: string | undefined;
  host: string;
  /** As of PlatformOptions. */
  names?: readonly string[] | undefined;
  httpPort: number;
  mqttPort: number;
  /** Port of the listener without TLS; absent = none. */
  plainPort?: number | undefined;
  /** Port of MQTT over WebSocket; absent = none. */
  wsPort?: number | undefined;
  newToken: boolean;
  /** As of PlatformOptions. */
  noToken?: boolean | undefined;
  engines?: Engines | undefined;
  serverCertificate?: PlatformOptions['serverCertificate'];
  compatPorts?: PlatformOptions['compatPorts'];
  compatMaxRows?: number | undefined;
  compatQuota?: number | undefined;
  /** Port of the Direct Device Integration API without TLS; absent = none. */
  ddiPort?: number | undefined;
  /** How often clients of the Direct Device Integration API are to ask, ms. */
  ddiPollMs?: number | undefined;
  compatDeleteAll?: boolean | undefined;
  /** How often may be asked, where it is not as usual. */
  rates?: PlatformOptions['rates'];
  /** Whose clients are let in by side doors. */
  compat?: Compatibility[] | undefined;
  /** Name of the context for it; `local`, or the next free name, when absent. */
  context?: string | undefined;
  /** What a project adds; see PlatformOptions. */
  boards?: PlatformOptions['boards'];
  readers?: PlatformOptions['readers'];
  /** Of a project, for the process that is started in the background. */
  project?:
    | { dir: string; set: Readonly<Record<string, string>>; boardPort?: number | undefined }
    | undefined;
}

export const upResultSchema = z.object({
  pid: z.int(),
  urls: platformUrlsSchema,
  /** PEM file of the CA. */
  ca: z.string(),
  /** Operator token; only when it was made now. */
  token: z.string().optional(),
  /** The context that knows this platform; absent when the user has none for it. */
  context: z.string().optional(),
  /** A link that logs one browser into the dashboard; absent where no context knows the platform, or a manager runs it. */
  dashboard: z.string().optional(),
  /** The context that was in use until now, when it was another. */
  replaced: z.string().optional(),
  /** The project that was started beside it. */
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
    })
    .optional(),
});

export type UpResult = z.output<typeof upResultSchema>;

/** Absolute path of a platform's folder. */
export function platformFolder(data: string | undefined): string {
  return data === undefined ? join(dataFolder(), 'platform') : resolve(data);
}

/** What `aiot up` is called with to do as it is told; engines are left out, for their addresses may hold passwords. @param folder of the platform; undefined = that of the environment */
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
  ];
}
