import { Args } from '@oclif/core';
import * as z from 'zod';
import { AiotCommand } from '../lib/cli/command.js';
import { type CompletionShell, completionScript, completionShells } from '../lib/cli/completion/scripts.js';
import { completionTable } from '../lib/cli/completion/table.js';
import { documentList } from '../lib/cli/documents.js';
import { catalogue } from '../lib/core/catalogue.js';
import { findTemplates } from '../lib/project/templates.js';

export default class Completion extends AiotCommand {
  static override summary = 'Print the script that completes commands and flags in your shell.';
  static override description =
    'Commands, flags, their values where they are known, files, and the names of your contexts. The script starts no aiot, so that Tab answers at once. To keep it: eval "$(aiot completion bash)" in ~/.bashrc, eval "$(aiot completion zsh)" in ~/.zshrc after compinit; aiot completion fish > ~/.config/fish/completions/aiot.fish.';
  static override examples = [
    'eval "$(<%= config.bin %> <%= command.id %> bash)"',
    '<%= config.bin %> <%= command.id %> fish > ~/.config/fish/completions/aiot.fish',
  ];
  static override args = {
    shell: Args.string({ required: true, options: completionShells, description: 'The shell.' }),
  };
  static override result = z.object({ shell: z.enum(completionShells), script: z.string() });

  async run() {
    const { args } = await this.input(Completion);
    const shell = args.shell as CompletionShell;
    const named = {
      docs: documentList().map(({ page }) => page),
      explain: Object.keys(catalogue),
      'init --template': (await findTemplates()).map(({ name }) => name),
    };
    const table = completionTable(this.config.commands, this.config.topics, named);
    const script = completionScript(shell, table);
    this.print(script);
    return { shell, script };
  }
}
