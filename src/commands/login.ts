import { Args, Flags } from '@oclif/core';
import { logIn, loginResultSchema } from '../lib/api/login.js';
import { AiotCommand } from '../lib/cli/command.js';
import { contextFlags, shared } from '../lib/cli/flags/shared.js';
import { loginPageText, loginText } from '../lib/cli/render/platform.js';
import { next } from '../lib/cli/render/text.js';
import { hasBrowser, openSecretUrl } from '../lib/cli/report.js';

export default class Login extends AiotCommand {
  static override summary = "Log in through the platform's login provider.";
  static override description =
    "The login is stored in a context. It is renewed while you use it, and your role follows your groups at the provider. On a machine with a desktop, the provider's page opens in the browser. Elsewhere, the command shows a URL, which you can open on any machine, and a code to enter there. A context with a local user's token is overwritten only with --replace.";
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> plant --url https://plant.example:8443 --ca ca.crt',
    '<%= config.bin %> <%= command.id %> work --no-browser',
  ];
  static override args = {
    name: Args.string({ description: 'Context for the login [default: the current context].' }),
  };
  static override flags = {
    url: Flags.string({ summary: "https URL of a new platform's API.", env: 'AIOT_URL' }),
    ...contextFlags,
    browser: Flags.boolean({
      summary: "Log in with this machine's browser instead of a code [default: if there is a desktop].",
      env: 'AIOT_BROWSER',
      allowNo: true,
    }),
    replace: Flags.boolean({
      summary: 'Overwrite a context whose token is not from a login.',
      env: 'AIOT_REPLACE',
    }),
    context: shared.context,
  };
  static override result = loginResultSchema;

  async run() {
    const { args, flags } = await this.input(Login);
    const { url, ca, mqtt, context, replace, browser = hasBrowser() } = flags;
    const way = browser ? 'browser' : 'device';
    const done = await logIn({
      ...{ name: args.name, url, ca, mqtt, context, replace, way, signal: this.signal },
      show: async (page) => {
        this.note(loginPageText(page));
        if (way === 'browser') await openSecretUrl(page.url);
      },
    });
    this.print(loginText(done));
    this.suggest(next('aiot status', 'aiot logout'));
    return done;
  }
}
