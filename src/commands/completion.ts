import { Args, Flags } from '@oclif/core';
import * as z from 'zod';
import { sheetNames } from '../lib/cli/cheat-sheets.js';
import { AiotCommand } from '../lib/cli/command.js';
import { nameKinds, refreshNames } from '../lib/cli/completion/names.js';
import { type CompletionShell, completionScript, completionShells } from '../lib/cli/completion/scripts.js';
import { completionTable } from '../lib/cli/completion/table.js';
import { documentList } from '../lib/cli/documents.js';
import { shared } from '../lib/cli/flags/shared.js';
import { facts } from '../lib/cli/render/text.js';
import { catalogue } from '../lib/core/catalogue.js';
import { findTemplates } from '../lib/project/templates.js';

export default class Completion extends AiotCommand {
  static override summary = 'Print the shell completion script.';
  static override description =
    'Completes commands, flags, known flag values, files, the names of your contexts, and the names of devices, models and other resources of the current platform. Completions appear immediately: names come from a cache, which is refreshed in the background at most once a minute. To install the script for bash, add eval "$(aiot completion bash)" to ~/.bashrc. For zsh, add eval "$(aiot completion zsh)" to ~/.zshrc after compinit. For fish, run aiot completion fish > ~/.config/fish/completions/aiot.fish.';
  static override examples = [
    'eval "$(<%= config.bin %> <%= command.id %> bash)"',
    '<%= config.bin %> <%= command.id %> fish > ~/.config/fish/completions/aiot.fish',
  ];
  static override args = {
    shell: Args.string({
      required: true,
      options: completionShells,
      description: 'Shell: bash, zsh or fish.',
    }),
  };
  static override flags = {
    refresh: Flags.boolean({
      summary: 'Refresh the cached resource names instead of printing the script.',
      env: 'AIOT_REFRESH',
    }),
    context: shared.context,
  };
  static override result = z.union([
    z.object({ shell: z.enum(completionShells), script: z.string() }),
    z.object({ shell: z.enum(completionShells), names: z.partialRecord(z.enum(nameKinds), z.int()) }),
  ]);

  async run() {
    const { args, flags } = await this.input(Completion);
    const shell = args.shell as CompletionShell;
    if (flags.refresh) {
      const names = await refreshNames(flags.context, this.signal);
      this.print(facts(Object.entries(names)));
      return { shell, names };
    }
    const named = {
      docs: documentList().map(({ page }) => page),
      error: Object.keys(catalogue),
      examples: sheetNames(this.config),
      'init --template': (await findTemplates()).map(({ name }) => name),
    };
    const table = completionTable(this.config.commands, this.config.topics, named);
    const script = completionScript(shell, table);
    this.print(script);
    return { shell, script };
  }
}
