import { once } from 'node:events';
import { Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { namesOf, upFlags } from '../../lib/cli/flags/platform.js';
import { brokerFilesText } from '../../lib/cli/render/platform.js';
import { AiotError } from '../../lib/core/errors.js';
import { brokerFilesSchema, keepBrokerFiles } from '../../lib/platform/broker/external-files.js';

export default class PlatformPki extends AiotCommand {
  static override summary = 'Export the CA files that an external broker needs.';
  static override description =
    "Writes the CA's certificate, a certificate and key for the broker, the revocation list, and the keys that a NATS server needs to ask the platform. Use this command on a machine that runs a broker but no platform; it reads the platform's database. With --follow, it keeps all files up to date until Ctrl-C. AIOT_PLATFORM_SECRET decrypts the CA's key.";
  static override examples = [
    '<%= config.bin %> <%= command.id %> --database postgres://aiot@db/aiot --public mqtt.plant.lan --out /etc/mosquitto/aiot',
    '<%= config.bin %> <%= command.id %> --database postgres://aiot@db/aiot --public mqtt.plant.lan,192.168.1.10 --out pki --follow',
  ];
  static override flags = {
    out: Flags.string({
      char: 'o',
      summary:
        'Folder for ca.crt, server.crt, server.key, devices.crl and nats-auth.conf; created if missing.',
      required: true,
      env: 'AIOT_OUT',
      helpValue: 'DIR',
    }),
    public: Flags.string({
      summary: 'Comma-separated names and addresses at which devices reach the broker.',
      required: true,
      env: 'AIOT_PUBLIC',
      helpValue: 'NAME,…',
    }),
    database: Flags.string({
      summary: 'PostgreSQL database of the platform: postgres://USER@HOST/NAME.',
      required: true,
      env: 'AIOT_DATABASE',
      helpValue: 'URL',
    }),
    blobs: {
      ...upFlags.blobs,
      summary: "S3 bucket of the platform's blobs: s3://BUCKET?endpoint=https://HOST.",
    },
    data: Flags.string({
      summary: 'Data folder of this process [default: a folder in your user data directory].',
      env: 'AIOT_DATA',
      helpValue: 'DIR',
    }),
    follow: Flags.boolean({
      char: 'f',
      summary: 'Keep the files up to date until Ctrl-C.',
      env: 'AIOT_FOLLOW',
    }),
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
