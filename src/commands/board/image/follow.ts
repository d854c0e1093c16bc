import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../../lib/cli/command.js';
import { smpFlags, smpOptions } from '../../../lib/cli/flags/boards.js';
import { duration, shared } from '../../../lib/cli/flags/shared.js';
import { readSecret } from '../../../lib/cli/secrets.js';
import { AiotError } from '../../../lib/core/errors.js';
import { readText } from '../../../lib/core/files.js';
import {
  describeFollowEvent,
  followEventSchema,
  followRollouts,
} from '../../../lib/device/gateway/follow.js';
import { choosePort } from '../../../lib/flash/port/list.js';

export default class BoardImageFollow extends AiotCommand {
  static override summary = 'Let a board take part in rollouts over SMP.';
  static override description =
    "For a board with MCUboot that has no update client of its own. Polls the platform over hawkBit's device API, installs each offered image over SMP, and reports success only after the board runs and confirms it. If the board is off, the update is retried at the next poll. Runs until Ctrl-C; with --once, polls once. The token is a device's secret (aiot device secret) or, with --gateway, that of a gateway (aiot token create … --scope ddi:gateway).";
  static override examples = [
    '<%= config.bin %> <%= command.id %> meter-1 --port udp:192.168.1.20 --url https://platform.local:8443 --token-file secret.txt',
    '<%= config.bin %> <%= command.id %> meter-1 --port /dev/ttyACM0 --url https://platform.local:8443 --ca ca.pem --token-file gateway.txt --gateway --once --json',
  ];
  static override args = {
    name: Args.string({ required: true, description: 'Registered name of the board.' }),
  };
  static override flags = {
    url: Flags.string({ summary: "https URL of the platform's API.", required: true, env: 'AIOT_URL' }),
    ca: shared.ca,
    'token-file': Flags.string({
      summary: 'File with the token, or - for stdin; or set AIOT_DDI_TOKEN.',
      env: 'AIOT_TOKEN_FILE',
      helpValue: 'FILE',
    }),
    gateway: Flags.boolean({
      summary: 'The token belongs to a gateway.',
      env: 'AIOT_GATEWAY',
      default: false,
    }),
    once: Flags.boolean({ summary: 'Poll once, install an offered update, and exit.', env: 'AIOT_ONCE' }),
    image: Flags.integer({
      summary: 'Number of the image, if the board has several.',
      env: 'AIOT_IMAGE',
      min: 0,
      default: 0,
    }),
    soak: duration({
      summary: 'How long a new image must run before it is confirmed.',
      env: 'AIOT_SOAK',
      default: 10_000,
    }),
    restart: duration({
      summary: 'How long the board may take to restart.',
      env: 'AIOT_RESTART',
      default: 120_000,
    }),
    ...smpFlags,
  };
  static override result = followEventSchema;

  async run(): Promise<void> {
    const { args, flags } = await this.input(BoardImageFollow);
    const value = await readSecret(flags['token-file'], 'AIOT_DDI_TOKEN');
    if (value === undefined)
      throw new AiotError('AIOT_USAGE', "the device's token is missing", {
        next: 'Create one with `aiot device secret NAME`, and pass it with --token-file or in AIOT_DDI_TOKEN.',
      });
    await followRollouts({
      ...{ name: args.name, url: flags.url, once: flags.once, signal: this.signal },
      ...{ image: flags.image, soakMs: flags.soak, restartMs: flags.restart },
      ca: flags.ca === undefined ? undefined : await readText(flags.ca),
      token: { scheme: flags.gateway ? 'GatewayToken' : 'TargetToken', value },
      board: { ...smpOptions(flags, this.signal), port: flags.port ?? (await choosePort(undefined)) },
      onEvent: (event) => this.item(event, () => describeFollowEvent(event)),
    });
  }
}
