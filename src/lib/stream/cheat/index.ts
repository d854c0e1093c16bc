import { kafka } from './kafka.js';
import { mqtt } from './mqtt.js';
import { nats } from './nats.js';
import { http, s3, serial } from './others.js';
import type { CheatSheet } from './types.js';

export type { CheatSheet } from './types.js';

/** By the name of `aiot cheat NAME`; docs/streams.md is made from the same. */
export const cheatSheets = { kafka, mqtt, nats, serial, http, s3 } satisfies Record<string, CheatSheet>;

/** All sheets as a part of docs/streams.md. */
export function cheatMarkdown(): string {
  return Object.entries(cheatSheets)
    .map(([name, { title, about, lines, mark = '?', settings }]: [string, CheatSheet]) => {
      const commands = lines.map(([what, command]) => `# ${what}\n${command}`).join('\n');
      const rows = settings.map(([setting, meaning]) => `| ${cell(setting)} | ${cell(meaning)} |`);
      const after =
        rows.length > 0 ? `\n\n| after the \`${mark}\` | |\n| --- | --- |\n${rows.join('\n')}` : '';
      return `### ${title}\n\n${about} (\`aiot cheat ${name}\`)\n\n\`\`\`sh\n${commands}\n\`\`\`${after}`;
    })
    .join('\n\n');
}

/** A bar ends a cell of a table. */
function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}
