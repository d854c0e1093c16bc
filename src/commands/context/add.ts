import { resolve } from 'node:path';
import { Args, Flags } from '@oclif/core';
import { tryToken } from '../../lib/api/context.js';
import { AiotCommand } from '../../lib/cli/command.js';
import { contextFlags } from '../../lib/cli/flags/shared.js';
import { bold, next } from '../../lib/cli/render/text.js';
import { readSecret } from '../../lib/cli/secrets.js';
import { addContext, checkContext, contextKinds, shownContextSchema } from '../../lib/core/contexts.js';

export default class ContextAdd extends AiotCommand {
  static override summary = "Add a platform to this machine's contexts.";
  static override description =
    `The token is read from a file, from stdin (--token-file -) or from AIOT_TOKEN. It is stored in the config folder, readable only by you. By default, the token is first tested against the platform; use --no-check if the platform is not running yet. The first context becomes the current one. An installation of the architects-guide services (--kind architects-guide) has no tokens. Its certificate is still verified, against the system's CAs, --ca (its CA, or the certificate itself) or --fingerprint.`;
  static override examples = [
    '<%= config.bin %> <%= command.id %> lab --url https://lab.example:8443 --ca ca.pem --token-file token.txt',
    'printenv LAB_TOKEN | <%= config.bin %> <%= command.id %> lab --url https://lab.example:8443 --token-file - --use',
    '<%= config.bin %> <%= command.id %> guide --kind architects-guide --url https://guide.example:30006 --ca guide.pem',
  ];
  static override args = {
    name: Args.string({ required: true, description: 'Context name.' }),
  };
  static override flags = {
    kind: Flags.option({ options: contextKinds, default: 'platform' as const })({
      summary: 'Kind of platform: an aiot platform, or an installation of the architects-guide services.',
      env: 'AIOT_KIND',
    }),
    url: Flags.string({ summary: "https URL of the platform's API.", required: true, env: 'AIOT_URL' }),
    ...contextFlags,
    fingerprint: Flags.string({
      summary: 'For architects-guide: SHA-256 of the certificate; any other certificate is rejected.',
      env: 'AIOT_FINGERPRINT',
      helpValue: 'HEX',
      exclusive: ['ca'],
    }),
    'token-file': Flags.string({
      summary: 'File with the token, or - for stdin.',
      env: 'AIOT_TOKEN_FILE',
      helpValue: 'FILE',
    }),
    check: Flags.boolean({
      summary: 'Test the token against the platform before storing it.',
      env: 'AIOT_CHECK',
      allowNo: true,
      default: true,
    }),
    use: Flags.boolean({ summary: 'Make it the current context.', env: 'AIOT_USE' }),
    replace: Flags.boolean({ summary: 'Overwrite a context with the same name.', env: 'AIOT_REPLACE' }),
  };
  static override result = shownContextSchema;

  async run() {
    const { args, flags } = await this.input(ContextAdd);
    const { kind, url, mqtt, ca, fingerprint, use, replace } = flags;
    // The token in the environment is for a platform, not for an installation of the guide's services.
    const told = kind === 'platform' || flags['token-file'] !== undefined;
    const token = told ? await readSecret(flags['token-file'], 'AIOT_TOKEN') : undefined;
    const context = await checkContext({ kind, url, mqtt, ca: ca && resolve(ca), fingerprint, token });
    if (flags.check && token !== undefined) await tryToken(context);
    const added = await addContext(args.name, context, { use, replace });
    this.print(
      `Added ${bold(added.name)} (${added.url})${added.current ? ', now the current context' : ''}.`,
    );
    const first = kind === 'platform' ? 'aiot doctor' : 'aiot device provision --chip-id ID';
    this.suggest(next(added.current ? first : `aiot context use ${added.name}`));
    return added;
  }
}
