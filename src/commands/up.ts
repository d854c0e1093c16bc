import { once } from 'node:events';
import { Flags } from '@oclif/core';
import {
  AiotCommand,
  again,
  dim,
  next,
  platformNext,
  platformText,
  setFlag,
  shared,
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
      const known = ['aiot status', `aiot down${at}`];
      const after = result.context === undefined ? [platformNext(at, true)] : known;
      this.print(`${platformText(result)}\n${next(...after)}`);
      return result;
    }
    const log = (line: string) => this.note(line.trimEnd());
    const { result, stop } = project
      ? await upProject({ ...options, ...project, project: project.dir }, log)
      : await up(options, log);
    const after = result.context === undefined ? next(platformNext(at)) : '';
    this.item(result, () => `${platformText(result)}\n\n${dim('Ctrl-C ends it.')}${after}`);
    if (!this.signal.aborted) await once(this.signal, 'abort');
    await stop();
    return undefined;
  }
}
