const entities: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Markup that needs no escaping any more. */
export class Html {
  constructor(readonly text: string) {}
}

type Part = string | number | Html | readonly (string | Html)[] | null | undefined;

/** Template tag: everything put in is escaped, except markup made by this tag. Null and undefined leave nothing. */
export function html(strings: TemplateStringsArray, ...parts: Part[]): Html {
  return new Html(strings.reduce((text, piece, i) => text + shown(parts[i - 1]) + piece));
}

function shown(part: Part): string {
  if (part === null || part === undefined) return '';
  if (part instanceof Html) return part.text;
  if (typeof part === 'object') return part.map(shown).join('');
  return String(part).replace(/[&<>"']/g, (char) => entities[char] ?? char);
}

/** Cells up to so many characters are kept on one line: a wide table scrolls in itself. */
const shortest = 24;

/** A table with a head; columns whose cells are all numbers or percentages go to the right. */
export function htmlTable(head: string[], rows: (string | Html)[][]): Html {
  const right = head.map((_, i) => rows.every((row) => /^-?[\d.,–]+( (%|m?s|dB))?$/.test(textOf(row[i]))));
  const cell = (content: string | Html, i: number, name: 'th' | 'td') => {
    const kinds = [right[i] ? 'number' : '', isShort(content) ? 'short' : ''].filter(Boolean);
    const open = new Html(`<${name}${kinds.length > 0 ? ` class="${kinds.join(' ')}"` : ''}>`);
    return html`${open}${content}${new Html(`</${name}>`)}`;
  };
  const line = (row: (string | Html)[], name: 'th' | 'td') =>
    html`<tr>${row.map((content, i) => cell(content, i, name))}</tr>`;
  return html`<div class="scroll"><table><thead>${line(head, 'th')}</thead><tbody>${rows.map((row) => line(row, 'td'))}</tbody></table></div>`;
}

/** Markup counts without its tags. */
function isShort(cell: string | Html): boolean {
  const text = cell instanceof Html ? cell.text.replaceAll(/<[^>]*>/g, '') : cell;
  return text.length <= shortest;
}

function textOf(cell: string | Html | undefined): string {
  return cell instanceof Html ? cell.text : (cell ?? '');
}
