import { once } from 'node:events';
import { Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { namesOf, upFlags } from '../../lib/cli/flags/platform.js';
import { brokerFilesText } from '../../lib/cli/render/platform.js';
import { AiotError } from '../../lib/core/errors.js';
import { brokerFilesSchema, keepBrokerFiles } from '../../lib/platform/broker/external-files.js';

export default class PlatformPki extends AiotCommand {
  static override summary =
    'Write what another broker needs of the platform’s CA: its certificate, one for the broker, the list of revoked ones.';
  static override description =
    'For a broker on a machine without a process of the platform: it asks the database that they share. With --follow it keeps all four up to date until Ctrl-C. AIOT_PLATFORM_SECRET opens the CA there.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> --database postgres://aiot@db/aiot --public mqtt.plant.lan --out /etc/mosquitto/aiot',
    '<%= config.bin %> <%= command.id %> --database postgres://aiot@db/aiot --public mqtt.plant.lan,192.168.1.10 --out pki --follow',
  ];
  static override flags = {
    out: Flags.string({
      char: 'o',
      summary: 'Folder for ca.crt, server.crt, server.key and devices.crl; made when missing.',
      required: true,
      env: 'AIOT_OUT',
      helpValue: 'DIR',
    }),
    public: Flags.string({
      summary: 'Names and addresses that devices reach the broker by, with commas.',
      required: true,
      env: 'AIOT_PUBLIC',
      helpValue: 'NAME,…',
    }),
    database: Flags.string({
      summary: 'PostgreSQL of the platform: postgres://USER@HOST/NAME.',
      required: true,
      env: 'AIOT_DATABASE',
      helpValue: 'URL',
    }),
    blobs: upFlags.blobs,
    data: Flags.string({
      summary: "Folder of this process's own [default: one in the user's data].",
      env: 'AIOT_DATA',
      helpValue: 'DIR',
    }),
    follow: Flags.boolean({ char: 'f', summary: 'Keep them up to date until Ctrl-C.', env: 'AIOT_FOLLOW' }),
  };
  static override result = brokerFilesSchema;

  async run() {
    const { flags } = await this.input(PlatformPki);
    const { out, database, blobs, data, follow } = flags;
    const names = namesOf(flags.public);
    if (!names) throw new AiotError('AIOT_USAGE', 'expected --public');
    const { result, close } = await keepBrokerFiles({
      ...{ out, names, data, engines: { database, ...(blobs === undefined ? {} : { blobs }) } },
      secret: process.env.AIOT_PLATFORM_SECRET || undefined,
      caPassphrase: process.env.AIOT_CA_PASSPHRASE || undefined,
      log: (line) => this.note(line.trimEnd()),
    });
    this.print(brokerFilesText(result));
    if (follow && !this.signal.aborted) await once(this.signal, 'abort');
    await close();
    return result;
  }
}
