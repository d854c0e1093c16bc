import { once } from 'node:events';
import { Flags } from '@oclif/core';
import {
  AiotCommand,
  again,
  bold,
  dim,
  facts,
  next,
  setFlag,
  shared,
  shellWord,
  variablesOf,
} from '../lib/cli/index.js';
import { compatibilities, type UpResult, up, upDetached, upResultSchema } from '../lib/platform/index.js';
import { upProject } from '../lib/project/index.js';

const port = (summary: string, env: string, value: number) =>
  Flags.integer({ summary, env, default: value, min: 0, max: 65_535 });

export default class Up extends AiotCommand {
  static override summary = 'Start a platform: HTTPS API, MQTT broker, database and blobs in one process.';
  static override description =
    'The first start makes a CA, an operator token and your signing key, and a context that knows them. It runs until Ctrl-C, or with --detach until aiot down. With --project, the project’s routes and the listener for its boards run in the same process.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> --detach',
    '<%= config.bin %> <%= command.id %> --data ./platform --http-port 0 --mqtt-port 0 --json',
    '<%= config.bin %> <%= command.id %> --project iot-kit',
    '<%= config.bin %> <%= command.id %> --project iot-kit --set MQTT=mqtt://broker:1883 --set KAFKA=kafka://kafka:9092',
  ];
  static override flags = {
    data: Flags.string({
      summary: "Folder of the platform; the user's data folder when absent.",
      env: 'AIOT_DATA',
      helpValue: 'DIR',
    }),
    host: Flags.string({
      summary: 'Address to listen on; 0.0.0.0 for all of this machine.',
      default: '127.0.0.1',
      env: 'AIOT_HOST',
    }),
    'http-port': port('Port of the API; 0 = any free one.', 'AIOT_HTTP_PORT', 8443),
    'mqtt-port': port('Port of the broker; 0 = any free one.', 'AIOT_MQTT_PORT', 8883),
    plain: Flags.boolean({ summary: 'Listen for MQTT without TLS too, on loopback.', env: 'AIOT_PLAIN' }),
    'plain-port': port('Port of the listener without TLS; 0 = any free one.', 'AIOT_PLAIN_PORT', 1883),
    detach: Flags.boolean({ char: 'd', summary: 'Run on in the background.', env: 'AIOT_DETACH' }),
    'new-token': Flags.boolean({ summary: 'Make a further operator token.', env: 'AIOT_NEW_TOKEN' }),
    compat: Flags.option({ options: compatibilities, multiple: true })({
      summary: 'Let firmware in the field ask as it is used to (POST /confirmActivation), untrusted.',
      env: 'AIOT_COMPAT',
    }),
    context: shared.context,
    project: Flags.string({
      ...{ char: 'p', env: 'AIOT_PROJECT', helpValue: 'DIR' },
      summary: 'Run what the aiot.yaml in DIR has under up: routes, a listener for boards.',
    }),
    set: setFlag,
    'board-port': Flags.integer({
      summary: 'Port of the listener for boards [default: the project’s]; 0 = any free one.',
      env: 'AIOT_BOARD_PORT',
      min: 0,
      max: 65_535,
    }),
  };
  static override result = upResultSchema;

  async run(): Promise<UpResult | undefined> {
    const input = await this.input(Up);
    const { flags } = input;
    const at = again(input, 'data');
    const { data, host, context, plain, compat, 'http-port': httpPort, 'mqtt-port': mqttPort } = flags;
    const plainPort = plain ? flags['plain-port'] : undefined;
    const { 'new-token': newToken, project: dir, 'board-port': boardPort } = flags;
    const options = { data, host, httpPort, mqttPort, plainPort, newToken, compat, context };
    const project = dir === undefined ? undefined : { dir, boardPort, set: variablesOf(flags.set) };
    if (flags.detach) {
      const result = await upDetached({ ...options, project }, this.signal);
      const after = result.context === undefined ? [unknown(at, true)] : ['aiot status', `aiot down${at}`];
      this.print(`${shown(result)}\n${next(...after)}`);
      return result;
    }
    const log = (line: string) => this.note(line.trimEnd());
    const { result, stop } = project
      ? await upProject({ ...options, ...project, project: project.dir }, log)
      : await up(options, log);
    const after = result.context === undefined ? next(unknown(at)) : '';
    this.item(result, () => `${shown(result)}\n\n${dim('Ctrl-C ends it.')}${after}`);
    if (!this.signal.aborted) await once(this.signal, 'abort');
    await stop();
    return undefined;
  }
}

/** How to get a context for a platform that no context knows: tokens are made at its start alone. */
function unknown(at: string, detach = false): string {
  return `aiot down${at} && aiot up${at} --new-token${detach ? ' --detach' : ''}`;
}

function shown({ pid, urls, ca, token, context, replaced, project }: UpResult): string {
  const lines: [string, string | number][] = [
    ['API', urls.http],
    ['MQTT', [urls.mqtts, urls.mqtt].filter(Boolean).join(', ')],
    ['CA', ca],
    ['pid', pid],
  ];
  if (urls.boards !== undefined) lines.push(['boards', `${urls.boards}  ${dim('(any password)')}`]);
  if (project) lines.push(['project', `${project.name}  ${dim(shellWord(project.dir))}`]);
  for (const { name, from, to, state } of project?.routes ?? []) {
    lines.push([
      name,
      `${from.join(', ')} → ${to.join(', ')}${state === 'running' ? '' : `  ${bold(state)}`}`,
    ]);
  }
  lines.push(['context', context ?? 'none knows it']);
  if (token !== undefined) lines.push(['token', `${token}  ${dim('(shown once; the context keeps it)')}`]);
  const switched = replaced === undefined ? '' : `\ncontext ${context} is now in use (was ${replaced})`;
  return `${bold('The platform is up.')}\n${facts(lines)}${switched}`;
}
