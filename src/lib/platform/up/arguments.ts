import { formatDuration } from '../../core/index.js';
import { usualDdiPollMs } from '../options.js';
import type { UpOptions } from './options.js';

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
