import { resolve } from 'node:path';
import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { bold } from '../../lib/cli/render/style.js';
import { next } from '../../lib/cli/render/text.js';
import { readSecret } from '../../lib/cli/secrets.js';
import { addContext, checkContext, contextKinds, shownContextSchema } from '../../lib/core/contexts.js';
import { tryToken } from '../../lib/registry/context.js';

export default class ContextAdd extends AiotCommand {
  static override summary = 'Tell this machine about a platform.';
  static override description =
    `The token is read from a file, from stdin (--token-file -) or from AIOT_TOKEN, and is kept in the config folder, readable by you alone. It is tried at the platform first; --no-check keeps it untried, for a platform that is not up yet. The first context is the one in use. An installation of the guide's services (--kind architects-guide) knows nobody and has no token; its certificate is verified all the same: by the system's CAs, by --ca (its CA, or the certificate itself), or by --fingerprint.`;
  static override examples = [
    '<%= config.bin %> <%= command.id %> lab --url https://lab.example:8443 --ca ca.pem --token-file token.txt',
    'printenv LAB_TOKEN | <%= config.bin %> <%= command.id %> lab --url https://lab.example:8443 --token-file - --use',
    '<%= config.bin %> <%= command.id %> guide --kind architects-guide --url https://guide.example:30006 --ca guide.pem',
  ];
  static override args = {
    name: Args.string({ required: true, description: 'Name to call it by.' }),
  };
  static override flags = {
    kind: Flags.option({ options: contextKinds, default: 'platform' as const })({
      summary: 'What it is: this project’s platform, or the guide’s services.',
      env: 'AIOT_KIND',
    }),
    url: Flags.string({ summary: 'https URL of its API.', required: true, env: 'AIOT_URL' }),
    mqtt: Flags.string({ summary: 'mqtts URL of its broker.', env: 'AIOT_MQTT' }),
    ca: Flags.string({
      summary: 'PEM file of the CA that signed its certificate.',
      env: 'AIOT_CA',
      helpValue: 'FILE',
    }),
    fingerprint: Flags.string({
      summary: 'SHA-256 of its certificate: no other is taken (architects-guide).',
      env: 'AIOT_FINGERPRINT',
      helpValue: 'HEX',
      exclusive: ['ca'],
    }),
    'token-file': Flags.string({
      summary: 'File with the operator token; - reads stdin.',
      env: 'AIOT_TOKEN_FILE',
      helpValue: 'FILE',
    }),
    check: Flags.boolean({
      summary: 'Try the token at the platform before it is kept.',
      env: 'AIOT_CHECK',
      allowNo: true,
      default: true,
    }),
    use: Flags.boolean({ summary: 'Use it from now on.', env: 'AIOT_USE' }),
    replace: Flags.boolean({ summary: 'Overwrite a context of the same name.', env: 'AIOT_REPLACE' }),
  };
  static override result = shownContextSchema;

  async run() {
    const { args, flags } = await this.input(ContextAdd);
    const { kind, url, mqtt, ca, fingerprint, use, replace } = flags;
    // A token that lies in the environment is for platforms.
    const told = kind === 'platform' || flags['token-file'] !== undefined;
    const token = told ? await readSecret(flags['token-file'], 'AIOT_TOKEN') : undefined;
    const context = await checkContext({ kind, url, mqtt, ca: ca && resolve(ca), fingerprint, token });
    if (flags.check && token !== undefined) await tryToken(context);
    const added = await addContext(args.name, context, { use, replace });
    this.print(`${bold(added.name)} is ${added.url}${added.current ? ', and in use' : ''}.`);
    const first = kind === 'platform' ? 'aiot doctor' : 'aiot device provision --chip-id ID';
    this.print(next(added.current ? first : `aiot context use ${added.name}`));
    return added;
  }
}
